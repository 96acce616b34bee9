"""What a training run of any network consists of, as far as its loop needs to know: weights, optimiser, counters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from torch import nn

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.generator.contract import Batch
from storm_edge.train.config import RunConfig
from storm_edge.train.out_folder import CHECKPOINT
from storm_edge.train.processes import Process


class Items(Protocol):
    """What a run trains on."""

    drawn: int
    """Items drawn since the start."""

    def sample(self, count: int) -> Batch:
        """The next ``count`` items, on the run's device."""
        ...

    def draw_less(self) -> None:
        """Draw less at a time from now on: the device had no room."""
        ...


class Average(Protocol):
    """The weights that are evaluated."""

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` optimiser steps."""
        ...


class RunState(ABC):
    """The counters of a run, and what its loop calls.

    Args:
        config: The run.
        process: This process.
    """

    objective: nn.Module
    """What is called with a batch; gives a loss and its parts."""
    average: Average
    """The weights that are evaluated."""
    optimizer: torch.optim.AdamW
    """Fused, so that it can be told on the device to leave the weights."""
    leading: tuple[str, bool]
    """The held-out figure by which evaluations are compared, and whether more of it is better."""

    def __init__(self, config: RunConfig, process: Process) -> None:
        self.config, self.process = config, process
        self.step, self.elapsed_s, self.drawn, self.skipped = 0, 0.0, 0, 0
        self.figures: dict[str, float] = {}
        self.best: dict[str, float] = {}
        self.checkpoint = config.out / CHECKPOINT

    @abstractmethod
    def save(self, drawn: int, skipped: int) -> None:
        """Write the checkpoint.

        Args:
            drawn: Items drawn since the start of this process.
            skipped: Steps skipped since then.

        Raises:
            OutputError: It cannot be written; the old one is as it was.
        """

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Held-out figures; the best are kept beside the last."""

    def keep_best(self) -> bool:
        """Keep the last figures as the best ones where they are; whether they are."""
        name, more_is_better = self.leading
        value, best = self.figures.get(name), self.best.get(name)
        is_best = value is not None and (best is None or (value > best if more_is_better else value < best))
        if is_best:
            self.best = {"step": self.step, **self.figures}
        return is_best

    def check_same(self, what: str, got: object, wanted: object) -> None:
        """Refuse a checkpoint of another run.

        Raises:
            CheckpointError: What it has is not what is wanted.
        """
        if got != wanted:
            remedy = "resume with the first options"
            raise CheckpointError(mismatch(self.checkpoint, f"{what} {got}", wanted, remedy))

    def counters(self, drawn: int, skipped: int) -> dict[str, Any]:
        """The counters as a checkpoint holds them; arguments as of `save`."""
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "drawn": self.drawn + drawn,
            "skipped": self.skipped + skipped,
            "best": self.best,
            "seed": self.config.seed,
        }

    def take_counters(self, content: dict[str, Any]) -> None:
        """Go on from the counters of a checkpoint."""
        self.step, self.elapsed_s, self.drawn = content["step"], content["elapsed_s"], content["drawn"]
        # Checkpoints of earlier releases have none of these.
        self.skipped, self.best = content.get("skipped", 0), content.get("best", {})
