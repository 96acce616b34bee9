"""What one training run is asked to do, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storm_edge.choices import Network
from storm_edge.networks.nano import NanoConfig
from storm_edge.networks.nano_som import NanoSomConfig
from storm_edge.networks.nano_tom import NanoTomConfig

PICTURE_COUNTS = 4
"""Pairs that a picture of the segmenter counts as in `TrainConfig`; it comes with three objects to look for."""
GROUP_COUNTS = 8
"""Pairs that a group of the verifier counts as: its crops."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run; it ends at ``steps`` or ``minutes``, whichever comes first."""

    network: Network
    """Which network to train."""
    out: Path
    """Folder for ``checkpoint.pt``, ``log.jsonl`` and ``result.json``."""
    steps: int = 200_000
    """Optimiser steps at most."""
    minutes: float | None = None
    """Wall-clock bound [min], summed over resumes; the learning rate reaches its end exactly then."""
    batch: int = 64
    """Pairs per step and process; the other networks have ``batch // unit`` sets, pictures or groups."""
    hypotheses: int = 12
    """Hypotheses per set of ScoreNet."""
    learning_rate: float = 1e-3
    """Peak of the schedule: linear warm-up, then half a cosine to a hundredth."""
    warmup_steps: int = 200
    """Steps of the linear warm-up."""
    weight_decay: float = 1e-3
    """AdamW decay, on matrices and kernels only."""
    ema_decay: float = 0.999
    """Decay per step of the averaged weights, which are the ones evaluated and exported."""
    flow_weight: float = 0.5
    """Weight of the surface-motion loss of RefineNet."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:i``; under torchrun every process takes its own."""
    threads: int = 1
    """Torch threads per process on the CPU."""
    workers: int = 1
    """Processes that draw pairs; 0 draws them in between, exactly reproducible and slower."""
    pool: int = 8192
    """Pairs kept to train on; each is seen several times, mirrored and turned differently."""
    reuse: float = 3.0
    """How often a pair is used on average; processes that draw faster than that wait."""
    fill: int = 1024
    """Pairs that must be there before the first step."""
    seed: int = 0
    """Of weights, pairs and augmentation."""
    evaluate_every_s: float = 180.0
    """Time between held-out evaluations and checkpoints [s]."""
    held_out: int = 512
    """Held-out pairs (RefineNet) or hypotheses (ScoreNet), from meshes never trained on."""
    resume: bool = False
    """Go on from ``checkpoint.pt`` in ``out``."""
    start_from: Path | None = None
    """Checkpoint of another run whose trunk the weights start from."""
    nano: NanoConfig = field(default_factory=NanoConfig)
    """Widths of RefineNet or ScoreNet."""
    som: NanoSomConfig = field(default_factory=NanoSomConfig)
    """Widths of the segmenter."""
    tom: NanoTomConfig = field(default_factory=NanoTomConfig)
    """Widths of the verifier."""

    @property
    def unit(self) -> int:
        """Pairs that one item counts as: a pair, a set of hypotheses, a picture, a group of crops."""
        units = {Network.SCORE: self.hypotheses, Network.SOM: PICTURE_COUNTS, Network.TOM: GROUP_COUNTS}
        return units.get(self.network, 1)

    @property
    def widths(self) -> NanoConfig | NanoSomConfig | NanoTomConfig:
        """Widths of the network that is trained."""
        if self.network is Network.SOM:
            return self.som
        return self.tom if self.network is Network.TOM else self.nano


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
    ended_by: str | None = None
    """``interrupted`` or ``terminated`` for a run that a signal ended early."""
