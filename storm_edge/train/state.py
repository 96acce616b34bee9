"""The state of a training run: network, averaged weights, optimiser, held-out items, and its checkpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from storm_edge.generator.contract import Batch
from storm_edge.networks.nano_onnx import set_batchnorms
from storm_edge.synthetic.splits import STREAMS_VAL
from storm_edge.train.checkpoint import load_checkpoint, save_checkpoint
from storm_edge.train.config import TrainConfig
from storm_edge.train.ema import AveragedModel
from storm_edge.train.objective import LEADING, Objective, make_objective
from storm_edge.train.processes import Process
from storm_edge.train.run_state import RunState
from storm_edge.train.sources import SourceFactory
from storm_edge.train.start import is_bundle, start_from

_LOG = logging.getLogger(__name__)


class TrainState(RunState):
    """What a checkpoint of a nano network holds, and the held-out items.

    Args:
        config: The run.
        process: This process.
        held_out: Makes the held-out items.

    Raises:
        CheckpointError: The checkpoint to resume or start from does not fit.
        EngineError: The bundle to start from is none.
    """

    config: TrainConfig
    objective: Objective
    average: AveragedModel

    def __init__(self, config: TrainConfig, process: Process, held_out: SourceFactory) -> None:
        super().__init__(config, process)
        self.leading = LEADING[config.network]
        torch.manual_seed(config.seed)
        self.objective = make_objective(config)
        fresh = not config.resume
        if config.start_from is not None and fresh:
            told = start_from(self.objective, config.network, config.start_from)
            if told is not None and process.first:
                _LOG.warning("%s", told)
        self.objective.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.objective, config.ema_decay)
        self.optimizer = _optimizer(self.objective, config)
        self.folded = config.start_from is not None and fresh and is_bundle(config.start_from)
        """Whether the BatchNorms are still the identity that a bundle's were folded to; see `unfold`."""
        if config.resume:
            self._restore()
        if process.first:
            self._held_out = _draw(held_out, config, process.device)

    def unfold(self, batch: Batch) -> None:
        """Give BatchNorms that a bundle had folded statistics of real items."""
        set_batchnorms(self.objective, lambda: self.objective(batch))
        self.average = AveragedModel(self.objective, self.config.ema_decay)
        self.folded = False

    def _restore(self) -> None:
        content = load_checkpoint(self.checkpoint)
        self.check_same("network", content["network"], self.config.network.value)
        wanted = json.loads(json.dumps(asdict(self.config.widths)))
        got, expected = _differing(content["nano"], wanted)
        self.check_same("widths", got, expected)
        self.objective.load_state_dict(content["model"])
        self.average.module.load_state_dict(content["ema"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.take_counters(content)

    def save(self, drawn: int, skipped: int) -> None:
        """See `RunState.save`."""
        save_checkpoint(
            self.checkpoint,
            {
                "network": self.config.network.value,
                "nano": json.loads(json.dumps(asdict(self.config.widths))),
                "model": self.objective.state_dict(),
                "ema": self.average.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                **self.counters(drawn, skipped),
            },
        )

    def evaluate(self) -> dict[str, float]:
        """Held-out figures of the averaged weights; the best are kept beside the last."""
        module = self.average.module
        assert isinstance(module, Objective)
        self.figures = module.figures(self._held_out)
        self.keep_best()
        return self.figures


def _differing(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries in which two mappings differ."""
    keys = [key for key in (*wanted, *(k for k in got if k not in wanted)) if got.get(key) != wanted.get(key)]
    return {k: got.get(k) for k in keys}, {k: wanted.get(k) for k in keys}


def _draw(held_out: SourceFactory, config: TrainConfig, device: torch.device) -> Batch:
    """The held-out items, drawn a few at a time, so that little memory is needed beside them."""
    source = held_out(STREAMS_VAL.first, device)
    wanted, most = config.items(config.held_out), config.items(config.sizes.chunk)
    chunks = [source.batch(min(most, wanted - at)) for at in range(0, wanted, most)]
    return {key: torch.cat([chunk[key] for chunk in chunks]).float() for key in chunks[0]}


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, not biases and norms."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
