"""A bounded queue and a thread before each sink, so that none can slow the loop or another sink.

The loop offers a report and goes on. Where a sink does not keep up the oldest report is dropped: who comes late wants
the newest pose. Dropped and failed reports are counted; the first failure of a row is logged.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from storm_edge.errors import StormEdgeError
from storm_edge.live.sinks import FrameReport, Sink

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SinkCounts:
    """What became of the reports of one sink."""

    name: str
    """Of the sink."""
    sent: int
    """Passed on."""
    dropped: int
    """Given up, since the sink did not keep up."""
    failed: int
    """That the sink could not pass on."""
    waiting: int
    """In the queue now."""
    details: Mapping[str, int] = field(default_factory=dict)
    """What else the sink counts, such as clients that it cut off."""


class SinkQueue:
    """What the loop offers reports to; `start` begins to pass them on, `close` ends it.

    Args:
        sink: Where they go.
        capacity: Most reports that wait; 1 or more.
    """

    def __init__(self, sink: Sink, capacity: int) -> None:
        self._sink = sink
        self._waiting: deque[FrameReport] = deque(maxlen=capacity)
        self._changed = threading.Condition()
        self._sent = self._dropped = self._failed = 0
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)

    @property
    def counts(self) -> SinkCounts:
        """What became of the reports so far; may be asked from any thread."""
        with self._changed:
            return SinkCounts(
                name=self._sink.name,
                sent=self._sent,
                dropped=self._dropped,
                failed=self._failed,
                waiting=len(self._waiting),
                details=dict(getattr(self._sink, "details", {})),
            )

    def start(self) -> None:
        """Begin to pass reports on."""
        self._thread.start()

    def offer(self, report: FrameReport) -> None:
        """Have a report passed on; never blocks, drops the oldest one where the queue is full."""
        with self._changed:
            self._dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(report)
            self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Pass on what waits, as far as the time [s] suffices, and end the sink.

        Returns:
            Whether it ended; a sink that is stuck is left to the end of the process.
        """
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        if self._thread.ident is None:  # never started
            self._sink.close()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        was_failing = False
        while (report := self._next()) is not None:
            try:
                self._sink.send(report)
            except Exception as error:  # of any kind: a sink must not die in a thread that nobody watches
                if not was_failing:
                    is_bug = not isinstance(error, (StormEdgeError, OSError))
                    what = f"{self._sink.name}: {error}; its reports are dropped until it works again"
                    _log.warning("%s", what, exc_info=is_bug)
                was_failing = True
            else:
                if was_failing:
                    _log.warning("%s: works again", self._sink.name)
                was_failing = False
            with self._changed:
                self._sent += not was_failing
                self._failed += was_failing
        try:
            self._sink.close()
        except Exception as error:
            _log.warning("%s: %s", self._sink.name, error)

    def _next(self) -> FrameReport | None:
        with self._changed:
            while not self._waiting:
                if self._is_ending:
                    return None
                self._changed.wait()
            return self._waiting.popleft()
