"""Poses that may be right instead of a track's, and how much proof one of them needs.

A rival is heard in look after look. Each look says what it costs less than the pose; the mean of that must be more
than errors of model and image make. A far turn needs more looks for it than a near one: a track slips by small turns
more often than by large ones, and a wrong correction by a large one does more harm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.side.config import SideConfig

Float64 = NDArray[np.float64]


def turn_deg(T_a: Float64, T_b: Float64) -> float:
    """By how much two poses ``(4, 4)`` are turned against each other [deg]: `se3.rotation_angle` in plain numbers,
    for single poses, several of which are asked about in every frame."""
    difference = T_a[:3, :3] - T_b[:3, :3]
    chord = math.sqrt(float(np.vdot(difference, difference)) / 8.0)  # fixed: of a rotation's nine entries
    return math.degrees(2.0 * math.asin(min(chord, 1.0)))


@dataclass
class Rival:
    """A pose that may be right instead."""

    motion: Float64
    """From the track's pose to it: ``T_cam_centre @ motion``."""
    turn: int | None
    """Which turn of the fan it began as; None where it came from elsewhere."""
    gains: list[float] = field(default_factory=list)
    """What it cost less than the pose, by look [logit]."""

    @property
    def mean_gain(self) -> float:
        """Mean of the gains, without the first where there are others: only then it had come to its place. 0 before
        there is one."""
        counted = self.gains[1:] or self.gains
        return sum(counted) / max(len(counted), 1)


class Rivals:
    """The rivals of one pose, those that began to look better first.

    Args:
        config: How many are heard, and when it is enough.
    """

    def __init__(self, config: SideConfig) -> None:
        self._config = config
        self._all: list[Rival] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Rival]:
        return iter(self._all)

    @property
    def are_heard(self) -> bool:
        """Whether each had a look: before, the best of them is not known."""
        return all(rival.gains for rival in self._all)

    def add(self, rival: Rival) -> None:
        """One more."""
        self._all.append(rival)

    def clear(self) -> None:
        """None is left."""
        self._all = []

    def has_near(self, motion: Float64, apart_deg: float) -> bool:
        """Whether one of them is turned by less than ``apart_deg`` against ``motion``."""
        return any(turn_deg(motion, rival.motion) < apart_deg for rival in self._all)

    def next(self) -> list[Rival]:
        """Those to be heard in a look: which had fewest, and of these the better."""
        order = sorted(self._all, key=lambda rival: (len(rival.gains), -rival.mean_gain))
        is_doubted = any(rival.mean_gain > self._config.bias for rival in self._all)
        return order[: self._config.doubted_rivals if is_doubted else self._config.rivals]

    def drop(self, dropped: list[Rival]) -> None:
        """Hear these no longer."""
        self._all = [rival for rival in self._all if not any(rival is other for other in dropped)]

    def join(self, same_deg: float) -> None:
        """Of those that came to one place, turned by less than ``same_deg`` against each other, leave the first."""
        kept: list[Rival] = []
        for rival in sorted(self._all, key=lambda rival: -len(rival.gains)):
            if not rival.gains or all(turn_deg(rival.motion, other.motion) >= same_deg for other in kept):
                kept.append(rival)
        self._all = [rival for rival in self._all if any(rival is other for other in kept)]

    def best(self) -> Rival | None:
        """The one with most beyond the proof that it needs; None before any was heard."""
        heard = [rival for rival in self._all if rival.gains]
        return max(heard, key=lambda rival: rival.mean_gain - self._proof(rival), default=None)

    def is_sure(self, rival: Rival) -> bool:
        """Whether it is right and the pose is not: for long enough, still now, and no contender was heard less."""
        config = self._config
        if rival.mean_gain <= self._proof(rival) or rival.gains[-1] <= config.bias:
            return False
        contenders = [other for other in self._all if other.mean_gain > rival.mean_gain - config.lead]
        return self.are_heard and all(len(other.gains) >= config.least_looks for other in contenders)

    def is_strong(self, rival: Rival) -> bool:
        """Whether the pose is doubted for its sake: it gains for long, or by so much that one look suffices."""
        config, gain = self._config, rival.mean_gain
        return gain > config.lead or (gain > config.bias and len(rival.gains) >= config.least_looks)

    def is_open(self, rival: Rival) -> bool:
        """Whether another look at it may tell more: not one that loses, or that cannot be told from the pose."""
        config, looks = self._config, len(rival.gains)
        least = 0.0 if looks <= config.least_looks else config.bias
        return looks == 0 or (rival.mean_gain >= least and looks < config.most_looks)

    def _proof(self, rival: Rival) -> float:
        """The mean gain that it needs [logit]."""
        config = self._config
        quarters = turn_deg(rival.motion, np.eye(4)) / 90.0  # fixed: turns are counted in quarters
        return config.bias + config.noise * quarters / max(len(rival.gains), 1)
