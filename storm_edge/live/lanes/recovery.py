"""The recovery work of one object: done in chunks between the frames, or beside them on the background lane."""

from __future__ import annotations

from collections.abc import Generator

from storm_edge.live.events import Event
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture

Work = Generator[str | None, None, Event]
"""Yields the kind of chunk that it did; returns its answer to the state machine."""


class RecoveryLane:
    """Holds at most one piece of work.

    Args:
        lane: Does the work beside the frames; None leaves it to `run_chunk`.
    """

    def __init__(self, lane: BackgroundLane | None) -> None:
        self._lane = lane
        self._work: Work | None = None
        self._future: LaneFuture[Event] | None = None

    @property
    def is_background(self) -> bool:
        """Whether work is done beside the frames."""
        return self._lane is not None

    @property
    def is_pending(self) -> bool:
        """Whether there is work that has not ended."""
        return self._work is not None or self._future is not None

    @property
    def is_submitted(self) -> bool:
        """Whether the background lane has it."""
        return self._future is not None

    def set_work(self, work: Work) -> None:
        """The next work; the one before has ended or was cancelled."""
        self._work = work

    def run_chunk(self) -> Event | None:
        """Do one chunk here; the answer if it was the last one."""
        assert self._work is not None
        try:
            next(self._work)
        except StopIteration as done:
            self._work = None
            answer: Event = done.value
            return answer
        return None

    def submit(self, kind: str) -> None:
        """Give the work to the background lane, if it does not have it already."""
        assert self._lane is not None
        if self._future is None and self._work is not None:
            self._future = self._lane.submit(self._work, kind=kind)

    def collect(self) -> Event | None:
        """The answer, if the background lane has come to it.

        Raises:
            RunFault: The work hangs.
            Exception: What the work raised.
        """
        if self._future is None or not self._future.done():
            return None
        answer = self._future.result()
        self._future = self._work = None
        return answer

    def cancel(self) -> None:
        """Stop the work; its buffers are free afterwards.

        Raises:
            RunFault: A chunk of it hangs.
        """
        if self._future is not None:
            self._future.cancel()
        self._future = self._work = None
