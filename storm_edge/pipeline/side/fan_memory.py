"""What is known of each turn of a fan: what it seemed to cost in a glance, and what it cost when it was heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.side.ambiguity import Ambiguity
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.fan import Fan
from storm_edge.pipeline.side.rivals import turn_deg

Float64 = NDArray[np.float64]
Turns = NDArray[np.int64]
"""Numbers of turns of the fan ``(M,)``."""


class FanMemory:
    """Costs of the turns of one fan, beyond the pose's own, and whose turn it is to be looked at.

    Args:
        fan: The turns.
        config: How many are compared in one look, and when what was heard is forgotten.

    Attributes:
        fan: The turns.
        near: The nearest of them, where they are near enough for a look of their own.
    """

    def __init__(self, fan: Fan, config: SideConfig) -> None:
        self.fan, self._config = fan, config
        count, size_deg = len(fan.motions), np.abs(fan.angle_deg)
        is_near = (size_deg <= config.near_deg) & (size_deg <= size_deg.min(initial=np.inf))
        self.near: Turns = np.flatnonzero(is_near)[: config.fan]
        self._size_deg = size_deg
        self._glanced, self._heard, self._glanced_then = (np.full(count, fill) for fill in (np.inf, np.nan, np.inf))
        self._heard_at = np.eye(4)
        self._part, self._fan_looks = slice(0, 0), 0

    @property
    def is_new(self) -> bool:
        """Whether nobody looked at the fan yet."""
        return self._part.stop == 0

    def ambiguity(self) -> Ambiguity | None:
        """What cannot be told from the pose, by what is known."""
        excess = np.where(np.isnan(self._heard), self._glanced, self._heard)
        return self.fan.ambiguity(excess < self._config.tie)

    def forget(self) -> None:
        """The track begins anew."""
        self._part = slice(0, 0)
        self._glanced[:] = np.inf
        self._forget_heard(np.eye(4))

    def next_part(self, T: Float64) -> Turns:
        """Those to be looked at from a pose ``(4, 4)``; what was heard is forgotten where the view changed."""
        config, count = self._config, len(self.fan.motions)
        if turn_deg(T, self._heard_at) > config.other_view_deg or self._fan_looks >= config.remembered_looks:
            self._forget_heard(T)
        first = self._part.stop if self._part.stop < count else 0
        self._part = slice(first, first + config.fan)
        self._fan_looks += first == 0
        return np.arange(count)[self._part]

    def note_glance(self, turns: Turns, excess: Float64) -> None:
        """Keep what unrefined turns cost more than the pose."""
        self._glanced[turns] = excess

    def note_heard(self, turn: int | None, excess: float) -> None:
        """Keep what a rival costs more than the pose, for the turn that it began as."""
        if turn is not None:
            self._heard[turn] = excess

    def note_waiting(self, turn: int) -> None:
        """It becomes a rival: it does so again only where it seems to cost clearly less than now."""
        self._glanced_then[turn] = self._glanced[turn]

    def promising(self, turns: Turns) -> Turns:
        """Of these turns those that may win and were not heard at this glance, the best first."""
        order = turns[np.argsort(self._glanced[turns], kind="stable")]
        return order[self._is_unheard(order) & (self._glanced[order] <= self._config.fan_slack)]

    def nearest(self, turns: Turns) -> Turns:
        """Of these turns the smallest, where they were not heard at this glance."""
        smallest: Turns = turns[self._size_deg[turns] == self._size_deg[turns].min()]
        return np.asarray(smallest[self._is_unheard(smallest)])

    def unheard_of_part(self) -> Turns:
        """Those of the part that was looked at last which were never heard."""
        return np.asarray(self._part.start + np.flatnonzero(np.isnan(self._heard[self._part])), dtype=np.int64)

    def _is_unheard(self, turns: Turns) -> NDArray[np.bool_]:
        heard, glanced, then = self._heard[turns], self._glanced[turns], self._glanced_then[turns]
        return np.asarray(np.isnan(heard) | (glanced < then - self._config.fan_slack))

    def _forget_heard(self, T: Float64) -> None:
        """Turns may be heard again, from the pose ``(4, 4)`` on."""
        self._heard[:], self._glanced_then[:] = np.nan, np.inf
        self._heard_at, self._fan_looks = T, 0
