"""Average recall as the BOP challenge defines it for poses of known objects (6D localisation).

A target is an object in an image and how many instances of it are to be found. So many of its estimates count, those
of the highest scores, and so many of its labels, the most visible ones. For each error and each threshold of
correctness the estimates take, in the order of their scores, the free label with the least error below the threshold.
Recall is the share of targets that were taken; over thresholds (and ``tau`` of VSD) it is averaged to AR of VSD, MSSD
and MSPD, and AR is their mean. Thresholds are those of the challenge: VSD 0.05 to 0.5, MSSD 0.05 to 0.5 diameters,
MSPD 5 to 50 px at an image width of 640.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storm_edge.evaluate.bop_errors import TAUS

Float64 = NDArray[np.float64]

SHARES = np.arange(0.05, 0.51, 0.05)
"""Thresholds of VSD, and of MSSD in diameters."""
PIXELS = np.arange(5.0, 51.0, 5.0)
"""Thresholds of MSPD [px] in an image that is `WIDTH_PX` wide."""
WIDTH_PX = 640.0
LEAST_VISIBLE = 0.1
"""Visible share from which an instance is a target where no file of targets is given."""


@dataclass(frozen=True, kw_only=True)
class TargetErrors:
    """The estimates of one target against its labels, both sorted: estimates by score, the best first."""

    vsd: Float64
    """``(E, G, 10)``, one per tau."""
    mssd: Float64
    """In diameters, ``(E, G)``."""
    mspd: Float64
    """In pixels at the width of 640, ``(E, G)``."""
    count: int
    """Instances to be found; there are as many labels."""


@dataclass(kw_only=True)
class RecallCounts:
    """Targets and those that were found, summed over images."""

    targets: int = 0
    """Instances to be found."""
    vsd: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(TAUS), len(SHARES)), dtype=np.int64))
    """Found by tau and threshold."""
    mssd: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SHARES), dtype=np.int64))
    """Found by threshold."""
    mspd: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(PIXELS), dtype=np.int64))
    """Found by threshold."""

    def add(self, errors: TargetErrors) -> None:
        """Match the estimates of a target at all thresholds."""
        self.targets += errors.count
        for i in range(len(TAUS)):
            self.vsd[i] += [_taken(errors.vsd[..., i], threshold) for threshold in SHARES]
        self.mssd += [_taken(errors.mssd, threshold) for threshold in SHARES]
        self.mspd += [_taken(errors.mspd, threshold) for threshold in PIXELS]

    def __iadd__(self, other: RecallCounts) -> RecallCounts:
        self.targets += other.targets
        self.vsd += other.vsd
        self.mssd += other.mssd
        self.mspd += other.mspd
        return self


@dataclass(frozen=True, kw_only=True)
class AverageRecall:
    """Average recall of an object, or of all; None without targets."""

    name: str
    """Object, or "all"."""
    target_count: int
    """Instances to be found."""
    ar: float | None
    """Mean of the three."""
    ar_vsd: float | None
    """Of VSD."""
    ar_mssd: float | None
    """Of MSSD."""
    ar_mspd: float | None
    """Of MSPD."""


def average_recalls(counts: Mapping[str, RecallCounts]) -> list[AverageRecall]:
    """One per object, by name, and one over all targets."""
    total = RecallCounts()
    for one in counts.values():
        total += one
    return [*(_recall(name, counts[name]) for name in sorted(counts)), _recall("all", total)]


def target_labels(visible: Sequence[float | None], count: int | None) -> list[int]:
    """Which labels of an object in an image are to be found.

    Args:
        visible: Their visible shares; None where the scene does not say.
        count: How many, by a file of targets; None for all that are visible enough.
    """
    shares = [1.0 if share is None else share for share in visible]
    if count is None:
        count = sum(share >= LEAST_VISIBLE for share in shares)
    return sorted(range(len(shares)), key=lambda i: shares[i], reverse=True)[:count]


def _recall(name: str, counts: RecallCounts) -> AverageRecall:
    if not counts.targets:
        return AverageRecall(name=name, target_count=0, ar=None, ar_vsd=None, ar_mssd=None, ar_mspd=None)
    vsd, mssd, mspd = (float(c.mean()) / counts.targets for c in (counts.vsd, counts.mssd, counts.mspd))
    ar = (vsd + mssd + mspd) / 3.0
    return AverageRecall(name=name, target_count=counts.targets, ar=ar, ar_vsd=vsd, ar_mssd=mssd, ar_mspd=mspd)


def _taken(errors: Float64, threshold: float) -> int:
    """How many labels are taken by estimates ``(E, G)``, best score first."""
    free = np.ones(errors.shape[1], dtype=bool)
    for row in errors if errors.size else ():
        candidates = np.where(free, row, np.inf)
        best = int(np.argmin(candidates))
        if candidates[best] < threshold:
            free[best] = False
    return int(np.count_nonzero(~free))
