"""What one training run is asked to do, and what it gives back."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from storm_edge.choices import Network
from storm_edge.generator.config import GeneratorConfig
from storm_edge.networks.nano import NanoConfig
from storm_edge.networks.nano_som import NanoSomConfig
from storm_edge.networks.nano_tom import NanoTomConfig

PICTURE_COUNTS = 4
"""Pairs that a picture of the segmenter counts as in `TrainConfig`; it comes with three objects to look for."""
GROUP_COUNTS = 8
"""Pairs that a group of the verifier counts as: its crops."""
STEPS_AT_MOST = 200_000
"""Optimiser steps of a run that is bounded by nothing else."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is drawn, kept and learnt from at a time. In pairs; see `TrainConfig.unit`."""

    batch: int
    """Pairs per step and process."""
    chunk: int
    """Pairs drawn at a time."""
    pool: int
    """Pairs kept."""
    pool_mib: int
    """Memory that the pool may take [MiB]."""
    fill: int
    """Pairs that must be there before the first step."""
    workers: int
    """Processes that draw; 0 draws where the network trains."""


DEFAULTS = {
    # Drawing a pair costs a quarter of a step on it, and each is used three times: a process beside would idle.
    "cpu": Sizes(batch=64, chunk=64, pool=8192, pool_mib=3072, fill=1024, workers=0),
    # One stream draws and learns. Large chunks, since every launch costs the same; an eighth of 80 GiB for the pool.
    "cuda": Sizes(batch=512, chunk=2048, pool=65536, pool_mib=10240, fill=8192, workers=0),
}
"""What a run takes where it is not told, by kind of device."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(ABC):
    """What every training run is asked; it ends at ``steps`` or ``minutes``, whichever comes first."""

    network: Network
    """Which network to train."""
    out: Path
    """Folder for ``checkpoint.pt``, ``log.jsonl``, ``curves.png`` and ``result.json``."""
    steps: int | None = None
    """Optimiser steps at most; `STEPS_AT_MOST` if neither these nor minutes are given."""
    minutes: float | None = None
    """Wall-clock bound [min], summed over resumes; the learning rate reaches its end exactly then."""
    batch: int | None = None
    """Pairs per step and process; the other networks have ``batch // unit`` sets, pictures or groups."""
    learning_rate: float = 1e-3
    """Peak of the schedule: linear warm-up, then half a cosine to a hundredth."""
    warmup_steps: int = 200
    """Steps of the linear warm-up; it never takes more than a twentieth of the run."""
    weight_decay: float = 1e-3
    """AdamW decay, on matrices and kernels only."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:i``; under torchrun every process takes its own."""
    threads: int | None = None
    """Torch threads per process on the CPU; all cores if not given."""
    workers: int | None = None
    """Processes that draw pairs on a CPU; 0 draws them in between, where the network trains: exactly reproducible."""
    seed: int = 0
    """Of weights, pairs and augmentation."""
    evaluate_every_s: float = 180.0
    """Time between held-out evaluations [s]; one costs a few seconds."""
    checkpoint_every_s: float = 60.0
    """Time between checkpoints [s]: what a kill may lose."""
    log_every_s: float = 15.0
    """Time between lines of the log [s]."""
    bad_steps: int = 50
    """Steps in a row without a finite gradient after which the run ends; each of them is skipped."""
    held_out: int = 512
    """Held-out pairs (RefineNet) or hypotheses (ScoreNet), from meshes never trained on."""
    resume: bool = False
    """Go on from ``checkpoint.pt`` in ``out``."""

    @property
    @abstractmethod
    def items_per_step(self) -> int:
        """Items of a batch of one process."""

    @property
    def thread_count(self) -> int:
        """Torch threads of this process."""
        return len(os.sched_getaffinity(0)) if self.threads is None else self.threads

    @property
    def last_step(self) -> int | None:
        """Step at which the run ends; None where time alone ends it."""
        return STEPS_AT_MOST if self.steps is None and self.minutes is None else self.steps


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """A run of a nano network.

    Sizes that are None are the device's own, see `DEFAULTS`.
    """

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """What the pictures are like that are trained on; those of held-out items, without a user's models."""
    ema_decay: float = 0.999
    """Decay per step of the averaged weights, which are the ones evaluated and exported."""
    flow_weight: float = 0.5
    """Weight of the surface-motion loss of RefineNet."""
    chunk: int | None = None
    """Pairs drawn at a time."""
    pool: int | None = None
    """Pairs kept to train on; each is seen several times, mirrored and turned differently."""
    pool_mib: int | None = None
    """Memory that the pool may take [MiB]; it keeps fewer pairs where they need more."""
    reuse: float = 3.0
    """How often a pair is used on average; processes that draw faster than that wait."""
    fill: int | None = None
    """Pairs that must be there before the first step."""
    start_from: Path | None = None
    """Where the weights start: a checkpoint of another run (of another network: its trunk), or a network bundle."""
    nano: NanoConfig = field(default_factory=NanoConfig)
    """Widths of RefineNet or ScoreNet."""
    som: NanoSomConfig = field(default_factory=NanoSomConfig)
    """Widths of the segmenter."""
    tom: NanoTomConfig = field(default_factory=NanoTomConfig)
    """Widths of the verifier."""

    @property
    def unit(self) -> int:
        """Pairs that one item counts as: a pair, a set of hypotheses, a picture, a group of crops."""
        units = {
            Network.SCORE: self.generator.score.hypotheses,
            Network.SOM: PICTURE_COUNTS,
            Network.TOM: GROUP_COUNTS,
        }
        return units.get(self.network, 1)

    @property
    def widths(self) -> NanoConfig | NanoSomConfig | NanoTomConfig:
        """Widths of the network that is trained."""
        if self.network is Network.SOM:
            return self.som
        return self.tom if self.network is Network.TOM else self.nano

    def items(self, pairs: int) -> int:
        """How many items of this network cost as much as so many pairs; at least one."""
        return max(pairs // self.unit, 1)

    @property
    def sizes(self) -> Sizes:
        """What was given, and the device's own where nothing was."""
        own = DEFAULTS[self.device.split(":")[0]]
        given = {field.name: getattr(self, field.name) for field in fields(Sizes)}
        return replace(own, **{name: value for name, value in given.items() if value is not None})

    @property
    def items_per_step(self) -> int:
        """Items of a batch of one process."""
        return self.items(self.sizes.batch)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Where a run ended."""

    checkpoint: Path
    """The checkpoint, with the averaged weights under ``ema``."""
    steps: int
    """Optimiser steps done, resumes included."""
    elapsed_s: float
    """Wall time of training, resumes included [s]."""
    held_out: dict[str, float]
    """Last held-out figures of the averaged weights."""
    best: dict[str, float] = field(default_factory=dict)
    """The held-out figures of the evaluation with the best leading one, and the ``step`` it was made at."""
    skipped: int = 0
    """Steps without a finite gradient, which left the weights as they were."""
    speed: dict[str, float] = field(default_factory=dict)
    """``computing``: share of the time that the device computed; items drawn and trained on per second [1/s]."""
    ended_by: str | None = None
    """``interrupted`` or ``terminated`` for a run that a signal ended early."""
