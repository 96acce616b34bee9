"""The state of a full network's training run: network, optimiser, held-out items, and its checkpoints.

``checkpoint.pt`` has the weights under ``model_state_dict`` with upstream's keys, as upstream's trainers write them,
and what a resumed run needs beside it. ``best.pth`` has those of the best evaluation. `load_som` and `load_tom` read
either; nothing is averaged, as nothing is upstream.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from storm_edge.choices import Network
from storm_edge.errors import CheckpointError, mismatch
from storm_edge.generator.contract import Batch
from storm_edge.networks.checkpoints import load_strictly, state_dict_of
from storm_edge.networks.dinov2 import Dinov2, load_dinov2
from storm_edge.networks.som import Som, load_som
from storm_edge.networks.tom import Tom, load_tom
from storm_edge.train.checkpoint import load_full_checkpoint, save_checkpoint
from storm_edge.train.epoch_items import Loader, stacked
from storm_edge.train.full_config import FullTrainConfig
from storm_edge.train.full_objectives import FullSomObjective, FullTomObjective, ViewTokens
from storm_edge.train.out_folder import BEST
from storm_edge.train.processes import Process
from storm_edge.train.run_state import RunState

LEADING = {Network.SOM: ("ap", True), Network.TOM: ("accuracy", True)}
"""The held-out figure by which evaluations of a network are compared, and whether more of it is better."""


class CurrentWeights:
    """`run_state.Average` of a run that averages nothing."""

    def update(self, model: nn.Module, step: int) -> None:
        """Nothing: the present weights are the ones evaluated."""


class FullTrainState(RunState):
    """What a checkpoint of a full network holds, and the held-out items.

    Args:
        config: The run.
        process: This process.
        context: Length of the segmenter's language context.
        view_tokens: Of the segmenter's objects.

    Raises:
        CheckpointError: A file of weights, or the checkpoint to resume, is missing or does not fit.
    """

    config: FullTrainConfig
    objective: FullSomObjective | FullTomObjective

    def __init__(
        self,
        config: FullTrainConfig,
        process: Process,
        *,
        context: int | None = None,
        view_tokens: ViewTokens | None = None,
    ) -> None:
        super().__init__(config, process)
        self.leading = LEADING[config.network]
        torch.manual_seed(config.seed)
        if config.network is Network.SOM:
            self.objective = FullSomObjective(_som(config, context), config.loss, view_tokens)
        else:
            self.objective = FullTomObjective(_tom(config))
        self._sizes = _sizes(self.objective.net)
        content = load_full_checkpoint(self.checkpoint) if config.resume else None
        if content is not None:
            self.check_same("network", content["network"], config.network.value)
            self.check_same("sizes", content["sizes"], self._sizes)
            load_strictly(self.objective.net, state_dict_of(content, self.checkpoint), self.checkpoint)
        self.objective.to(process.device)
        self.average = CurrentWeights()
        trained = [p for p in self.objective.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._held_out: Batch = {}
        if content is not None:
            self.optimizer.load_state_dict(content["optimizer"])
            self.take_counters(content)

    def judge_by(self, held_out: Batch) -> None:
        """Take the held-out items; for the first process."""
        self._held_out = held_out

    def save(self, drawn: int, skipped: int) -> None:
        """See `RunState.save`."""
        content = {
            "network": self.config.network.value,
            "sizes": self._sizes,
            "model_state_dict": self.objective.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.counters(drawn, skipped),
        }
        save_checkpoint(self.checkpoint, content)

    def evaluate(self) -> dict[str, float]:
        """See `RunState.evaluate`; weights that are better than all before are written to ``best.pth``."""
        self.objective.eval()
        self.figures = self.objective.figures(self._held_out)
        self.objective.train()
        if self.keep_best():
            name, _ = self.leading
            content = {
                "step": self.step,
                "model_state_dict": self.objective.net.state_dict(),
                f"best_val_{name}": self.figures[name],
                "best_step": self.step,
            }
            save_checkpoint(self.config.out / BEST, content)
        return self.figures


def held_out_batch(load: Loader, count: int, most: int, device: torch.device) -> Batch:
    """At most ``most`` of ``count`` items, evenly spread, as they are."""
    chance = np.random.default_rng(0)  # decides nothing: held-out items are not changed
    numbers: Sequence[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return stacked([load(number, chance) for number in numbers], device)


def _som(config: FullTrainConfig, context: int | None) -> Som:
    if config.start_from is not None and not config.resume:
        net = load_som(config.start_from, config.som)
        if net.config.context != context:
            got = f"a language context of {net.config.context}"
            remedy = "give --language with descriptions" if context is None else "start with one that takes them"
            raise CheckpointError(mismatch(config.start_from, got, f"{context}, as the data has", remedy))
        return net
    net = Som(replace(config.som, context=context))
    _start_encoder(net.dino, config)
    return net


def _tom(config: FullTrainConfig) -> Tom:
    if config.start_from is not None and not config.resume:
        return load_tom(config.start_from, config.tom)
    net = Tom(config.layers, config.tom)
    _start_encoder(net.backbone, config)
    return net


def _start_encoder(encoder: Dinov2, config: FullTrainConfig) -> None:
    """Give the encoder its pretrained weights; random ones, which are asked for by name, are left."""
    if config.encoder is not None and not config.resume:
        encoder.load_state_dict(load_dinov2(Path(config.encoder), encoder.config).state_dict())


def _sizes(net: Som | Tom) -> dict[str, Any]:
    """What two runs must have alike, as JSON has it."""
    content = (
        asdict(net.config) if isinstance(net, Som) else {"layers": len(net.layers), **asdict(net.backbone.config)}
    )
    sizes: dict[str, Any] = json.loads(json.dumps(content))
    return sizes
