from __future__ import annotations

import logging
import threading

import pytest

from storm_edge.errors import OutputError
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.queue import SinkQueue


class Collector:
    """Keeps what it gets; waits for a gate, and fails as often as it is told to."""

    def __init__(self, fails: int = 0) -> None:
        self.name = "collector"
        self.gate, self.in_send = threading.Event(), threading.Event()
        self.frames: list[int] = []
        self.is_closed = False
        self._fails = fails

    def send(self, report: FrameReport) -> None:
        self.in_send.set()
        self.gate.wait(30.0)
        if self._fails:
            self._fails -= 1
            raise OutputError("disk: got full, expected room; free some")
        self.frames.append(report.frame)

    def close(self) -> None:
        self.is_closed = True


def report(number: int) -> FrameReport:
    return FrameReport(frame=number, stamp_ns=0)


def test_the_oldest_is_dropped_where_a_sink_is_stuck_and_offering_does_not_wait() -> None:
    sink = Collector()
    queue = SinkQueue(sink, 3)
    queue.start()
    queue.offer(report(0))
    assert sink.in_send.wait(30.0)  # it holds the first one
    for number in range(1, 8):
        queue.offer(report(number))
    counts = queue.counts
    assert (counts.sent, counts.dropped, counts.waiting) == (0, 4, 3)
    assert not queue.close(0.01)  # stuck: it is left behind
    sink.gate.set()
    assert queue.close(30.0)
    assert sink.frames == [0, 5, 6, 7]
    assert sink.is_closed


def test_a_sink_that_fails_is_counted_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    sink = Collector(fails=2)
    sink.gate.set()
    queue = SinkQueue(sink, 8)
    for number in range(4):
        queue.offer(report(number))
    with caplog.at_level(logging.WARNING):
        queue.start()
        assert queue.close(30.0)
    counts = queue.counts
    assert (counts.sent, counts.failed, counts.dropped) == (2, 2, 0)
    assert sink.frames == [2, 3]
    assert [record.message for record in caplog.records] == [
        "collector: disk: got full, expected room; free some; its reports are dropped until it works again",
        "collector: works again",
    ]


def test_a_queue_that_was_never_started_closes_its_sink() -> None:
    sink = Collector()
    assert SinkQueue(sink, 1).close(0.0)
    assert sink.is_closed
