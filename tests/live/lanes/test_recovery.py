"""The recovery work of one object: chunk by chunk here, or on the background lane."""

from __future__ import annotations

import time
from collections.abc import Generator

from storm_edge.live.events import Event, NothingFound
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.lanes.recovery import RecoveryLane

DEADLINE_S = 600.0
ANSWER = NothingFound(attempt=3)


def work(chunks: int) -> Generator[str, None, Event]:
    for _ in range(chunks):
        yield "chunk"
    return ANSWER


def test_chunks_are_done_one_by_one_until_there_is_an_answer() -> None:
    lane = RecoveryLane(None)
    assert not lane.is_pending
    lane.set_work(work(2))
    assert (lane.is_pending, lane.is_submitted, lane.is_background) == (True, False, False)
    assert [lane.run_chunk() for _ in range(3)] == [None, None, ANSWER]
    assert not lane.is_pending


def test_cancelled_work_is_gone() -> None:
    lane = RecoveryLane(None)
    lane.set_work(work(2))
    lane.cancel()
    lane.cancel()
    assert not lane.is_pending
    assert lane.collect() is None


def test_the_background_lane_has_the_work_until_its_answer_is_collected() -> None:
    with BackgroundLane() as background:
        lane = RecoveryLane(background)
        assert lane.collect() is None
        lane.set_work(work(2))
        lane.submit("search")
        lane.submit("search")  # it has it already
        assert lane.is_submitted
        deadline = time.monotonic() + DEADLINE_S
        answer = None
        while answer is None and time.monotonic() < deadline:
            answer = lane.collect()
        assert answer == ANSWER
        assert (lane.is_pending, lane.is_submitted) == (False, False)
