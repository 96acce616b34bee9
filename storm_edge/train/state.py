"""The state of a training run: network, averaged weights, optimiser, held-out items, and its checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch
from torch import Tensor, nn

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.synthetic.splits import STREAMS_VAL
from storm_edge.train.checkpoint import load_checkpoint, save_checkpoint
from storm_edge.train.config import TrainConfig
from storm_edge.train.ema import AveragedModel
from storm_edge.train.objective import Objective, make_objective, start_from
from storm_edge.train.out_folder import CHECKPOINT
from storm_edge.train.pool import SourceFactory, draw
from storm_edge.train.processes import Process


class TrainState:
    """What a checkpoint holds, and the held-out items.

    Args:
        config: The run.
        process: This process.
        held_out: Makes the held-out items.

    Raises:
        CheckpointError: The checkpoint to resume or start from does not fit.
    """

    def __init__(self, config: TrainConfig, process: Process, held_out: SourceFactory) -> None:
        self.config, self.process = config, process
        torch.manual_seed(config.seed)
        self.objective: Objective = make_objective(config)
        if config.start_from is not None and not config.resume:
            start_from(self.objective, config.start_from)
        self.objective.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.objective, config.ema_decay)
        self.optimizer = _optimizer(self.objective, config)
        self.step, self.elapsed_s, self.drawn = 0, 0.0, 0
        self.figures: dict[str, float] = {}
        self.checkpoint = config.out / CHECKPOINT
        if config.resume:
            self._restore()
        if process.first:
            items = max(config.held_out // config.unit, 1)
            arrays = draw(held_out(STREAMS_VAL.first), config.network, items, config.hypotheses)
            self._held_out = {key: torch.from_numpy(value).float() for key, value in arrays.items()}

    def _restore(self) -> None:
        content = load_checkpoint(self.checkpoint)
        for key, wanted in (
            ("network", self.config.network.value),
            ("nano", json.loads(json.dumps(asdict(self.config.widths)))),
        ):
            if content[key] != wanted:
                raise CheckpointError(
                    mismatch(self.checkpoint, f"{key} {content[key]}", wanted, "resume with the first options")
                )
        self.objective.load_state_dict(content["model"])
        self.average.module.load_state_dict(content["ema"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.elapsed_s, self.drawn = content["step"], content["elapsed_s"], content["drawn"]

    def save(self, drawn: int) -> None:
        """Write the checkpoint; ``drawn`` items were drawn since the start of this process."""
        save_checkpoint(
            self.checkpoint,
            {
                "network": self.config.network.value,
                "nano": json.loads(json.dumps(asdict(self.config.widths))),
                "model": self.objective.state_dict(),
                "ema": self.average.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "drawn": self.drawn + drawn,
                "seed": self.config.seed,
            },
        )

    def evaluate(self) -> dict[str, float]:
        """Held-out figures of the averaged weights."""
        module = self.average.module
        assert isinstance(module, Objective)
        self.figures = module.figures(move(self._held_out, self.process.device))
        return self.figures


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, not biases and norms."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def move(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}
