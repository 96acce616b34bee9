"""When the next frame is due: a camera's clock, or as fast as the loop can.

`Pacer` stands in for a camera when a recording is played: frames come at a rate whether or not anybody is ready, and
of those that came meanwhile only the newest is handed on. Every one that was passed over is counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from storm_edge.errors import ConfigError, mismatch

NOMINAL_HZ = 30.0
"""What stamps say where nothing is paced: the state machine's times are in frames of such a camera."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """A frame that was handed on."""

    number: int
    """Counts all frames of the camera, those passed over included."""
    stamp_s: float
    """When it was due, on the clock of the pacer [s]."""
    stamp_ns: int
    """The same since the first frame [ns]; at `NOMINAL_HZ` where nothing is paced."""
    skipped: int
    """Frames that were passed over between the last one and this one."""


class Pacer:
    """Hands out frames, each when it is due.

    Args:
        rate_hz: Of the camera [Hz]; None hands on the next frame at once.
        count: Frames that there are; that number says that they are at an end. None where they go on for ever.
        now: The clock [s].
        sleep: How to wait [s].

    Attributes:
        skipped: Frames passed over so far.

    Raises:
        ConfigError: A rate that no camera has.
    """

    def __init__(
        self,
        rate_hz: float | None,
        *,
        count: int | None = None,
        now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0.0):
            raise ConfigError(
                mismatch("--rate", f"{rate_hz:g}", "a rate above 0 [Hz]", "name the camera's frame rate")
            )
        self._rate_hz = rate_hz
        self._count = count
        self._now, self._sleep = now, sleep
        self._began_s: float | None = None
        self._last = -1
        self.skipped = 0

    @property
    def rate_hz(self) -> float | None:
        """Of the camera [Hz]; None where nothing is paced."""
        return self._rate_hz

    def now_s(self) -> float:
        """Time on the clock of `Due.stamp_s` [s]."""
        return self._now()

    def next(self) -> Due:
        """Wait for the next frame; it is the newest that is due by now, or else the one to come."""
        now_s = self._now()
        if self._began_s is None:
            self._began_s = now_s
        if self._rate_hz is None:
            self._last += 1
            stamp_ns = round(1e9 * self._last / NOMINAL_HZ)
            return Due(number=self._last, stamp_s=now_s, stamp_ns=stamp_ns, skipped=0)
        newest = math.floor((now_s - self._began_s) * self._rate_hz)
        number = max(self._last + 1, newest if self._count is None else min(newest, self._count))
        since_s = number / self._rate_hz
        while (rest_s := self._began_s + since_s - self._now()) > 0.0:
            self._sleep(rest_s)
        skipped = number - self._last - 1
        self._last = number
        self.skipped += skipped
        return Due(number=number, stamp_s=self._began_s + since_s, stamp_ns=round(1e9 * since_s), skipped=skipped)


def ping_pong_index(number: int, length: int) -> int:
    """Index into a row of ``length`` after ``number`` steps that turn round at both ends."""
    if length == 1:
        return 0
    place = number % (2 * length - 2)
    return min(place, 2 * length - 2 - place)
