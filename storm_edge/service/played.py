"""Frames that are there already, played as a camera would give them: each when it is due.

Frames that came while the loop was busy are passed over and counted. Stamps are the present: the time at which
playing began, and how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sources import SourceState, SourceStatus

Play = Literal["once", "again", "back-and-forth"]
"""What comes after the last frame: nothing, the first one, or all of them backwards."""


class Timetable:
    """Which frame is due when.

    Args:
        times_s: Of each frame since the first [s], rising.
        period_s: Time from the last frame to the first, where they are played again [s].
        play: What comes after the last frame.
    """

    def __init__(self, times_s: Sequence[float], period_s: float, play: Play) -> None:
        self._times_s, self._period_s, self._play = times_s, period_s, play

    def due(self, number: int) -> tuple[int, float] | None:
        """Place and time [s] of a frame by its number since playing began; None where there is none."""
        count, last_s = len(self._times_s), self._times_s[-1]
        if self._play == "once" or count == 1:
            if number >= count and self._play == "once":
                return None
            return number % count, self._times_s[number % count] + number // count * self._period_s
        if self._play == "again":
            return number % count, self._times_s[number % count] + number // count * (last_s + self._period_s)
        turns, place = divmod(number, 2 * count - 2)
        began_s = turns * 2.0 * last_s
        if place < count:
            return place, began_s + self._times_s[place]
        place = 2 * count - 2 - place
        return place, began_s + 2.0 * last_s - self._times_s[place]


def paced_by(stamps_ns: Sequence[int], rate_hz: float, longest_gap_s: float) -> list[float]:
    """Times since the first frame [s], of a camera's stamps; a clock that jumped, or a pause, is a frame's time."""
    times_s = [0.0]
    for before, after in pairwise(stamps_ns):
        gap_s = (after - before) * 1e-9
        times_s.append(times_s[-1] + (gap_s if 0.0 < gap_s <= longest_gap_s else 1.0 / rate_hz))
    return times_s


class Played:
    """A `LiveSource` over frames that can be read by their place.

    Args:
        read: A frame by its place, or why it cannot be used.
        timetable: Which is due when.
        keeps_numbers: Whether frames keep their own numbers; they are counted else, as they must be where they come
            again.
        what: What is played, for people.
        at_end: Called when there are no more.
        now: The clock [s].
        sleep: How to wait [s].
    """

    def __init__(
        self,
        read: Callable[[int], Frame | SkipReason],
        timetable: Timetable,
        *,
        keeps_numbers: bool,
        what: str,
        at_end: Callable[[], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._read, self._timetable, self._keeps_numbers, self._what = read, timetable, keeps_numbers, what
        self._at_end, self._now, self._sleep = at_end, now, sleep
        self._began_s = 0.0
        self._began_ns = self._next = self._passed_over = 0
        self._state = SourceState.OPENING

    def open(self) -> None:
        """Playing begins."""
        self._began_ns, self._began_s = time.time_ns(), self._now()

    def poll(self, timeout_s: float) -> Frame | SkipReason | None:
        """The newest frame that is due; see `LiveSource.poll`."""
        due = self._timetable.due(self._next)
        if due is None:
            if self._state is not SourceState.ENDED and self._at_end is not None:
                self._at_end()
            self._state = SourceState.ENDED
            return None
        rest_s = self._began_s + due[1] - self._now()
        if rest_s > 0.0:
            self._sleep(min(rest_s, timeout_s))
        if rest_s > timeout_s:
            return None
        while (later := self._timetable.due(self._next + 1)) and self._began_s + later[1] <= self._now():
            due = later
            self._next += 1
            self._passed_over += 1
        number, self._next = self._next, self._next + 1
        place, at_s = due
        frame = self._read(place)
        self._state = SourceState.RUNNING
        if isinstance(frame, SkipReason):
            return frame
        stamp_ns = self._began_ns + round(at_s * 1e9)
        return replace(frame, index=frame.index if self._keeps_numbers else number, stamp_ns=stamp_ns)

    @property
    def status(self) -> SourceStatus:
        """How it is."""
        return SourceStatus(state=self._state, detail=self._what, counts={"passed_over": self._passed_over})

    def close(self, timeout_s: float) -> None:
        """Nothing is to be ended."""
