"""Frames that a program hands in: a driver or a middleware of the user's own, on any thread.

The newest frame waits for the loop in one place; one that the loop had no time for is replaced, and counted.
"""

from __future__ import annotations

import threading
import time

from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sources import SourceState, SourceStatus


class HandedIn:
    """A `LiveSource` that another thread gives frames to.

    Args:
        stall_s: Silence after which it counts as stalled [s].
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._last_s: float | None = None
        self._handed_in = self._passed_over = 0
        self._ended = False

    def hand_in(self, frame: Frame) -> None:
        """Give the loop a frame; returns at once."""
        with self._changed:
            self._passed_over += self._frame is not None
            self._frame, self._last_s = frame, time.monotonic()
            self._handed_in += 1
            self._changed.notify_all()

    def end(self) -> None:
        """There are no more frames to come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def open(self) -> None:
        """Nothing is to be opened."""

    def poll(self, timeout_s: float) -> Frame | SkipReason | None:
        """The newest frame; see `LiveSource.poll`."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    @property
    def status(self) -> SourceStatus:
        """How it is."""
        with self._changed:
            counts = {"handed_in": self._handed_in, "passed_over": self._passed_over}
            silence_s = None if self._last_s is None else time.monotonic() - self._last_s
            if self._ended and self._frame is None:
                state, detail = SourceState.ENDED, ""
            elif silence_s is None:
                state, detail = SourceState.OPENING, "no frame was handed in yet"
            elif silence_s > self._stall_s:
                state, detail = SourceState.STALLED, f"no frame was handed in for {silence_s:.1f} s"
            else:
                state, detail = SourceState.RUNNING, ""
            return SourceStatus(state=state, detail=detail, counts=counts)

    def close(self, timeout_s: float) -> None:
        """No more frames are taken."""
        self.end()
