"""The locate lane: turns, answers, errors, the end; and a loop that finds its object beside the frames."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator

import numpy as np
import pytest

from storm_edge.frames import Frame
from storm_edge.runtime.assembly import make_loops
from storm_edge.runtime.background import BackgroundLane, Ticket
from storm_edge.runtime.outputs import State
from tests.staged import Staged

DEADLINE_S = 60.0


def counting(name: str, chunks: int, log: list[str]) -> Generator[None, None, int]:
    for _ in range(chunks):
        log.append(name)
        yield
    return chunks


def wait_for(ticket: Ticket[int]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not ticket.over:
        assert time.monotonic() < deadline, "the lane never ended the work"
        time.sleep(0.001)


def test_pieces_of_work_take_turns() -> None:
    log: list[str] = []
    gate = threading.Event()

    def first() -> Generator[None, None, int]:
        gate.wait(DEADLINE_S)  # until the others are in the queue too
        yield
        return 0

    with BackgroundLane() as lane:
        opened = lane.submit(first())
        tickets = [lane.submit(counting(name, 3, log)) for name in "ab"]
        gate.set()
        for ticket in (opened, *tickets):
            wait_for(ticket)
    assert log == ["a", "b"] * 3
    assert [ticket.answer() for ticket in tickets] == [3, 3]


def test_an_error_is_raised_where_the_answer_is_asked_for_and_the_lane_goes_on() -> None:
    def failing() -> Generator[None, None, int]:
        yield
        raise ValueError("broken depth")

    with BackgroundLane() as lane:
        bad, good = lane.submit(failing()), lane.submit(counting("x", 1, []))
        wait_for(bad)
        wait_for(good)
        with pytest.raises(ValueError, match="broken depth"):
            bad.answer()
        assert good.answer() == 1


def test_cancelled_work_has_ended_when_cancel_returns() -> None:
    started, log = threading.Event(), []

    def slow() -> Generator[None, None, int]:
        started.set()
        time.sleep(0.05)
        log.append("chunk over")
        yield
        log.append("never")
        yield
        return 1

    with BackgroundLane() as lane:
        ticket = lane.submit(slow())
        assert started.wait(DEADLINE_S)
        ticket.cancel()
        ticket.cancel()
        assert log == ["chunk over"]
        assert ticket.over
        assert ticket.answer() is None
    assert log == ["chunk over"]


def test_the_lane_gives_back_what_it_changed_and_is_used_open() -> None:
    before = sys.getswitchinterval()
    lane = BackgroundLane()
    with pytest.raises(RuntimeError, match="not open"):
        lane.submit(counting("x", 1, []))
    with lane:
        assert sys.getswitchinterval() < before
    lane.close()
    assert sys.getswitchinterval() == before
    assert not any(thread.name == "locate" for thread in threading.enumerate())


def test_a_loop_finds_its_object_beside_the_frames(staged: Staged) -> None:
    """No frame waits for the search, the states are those of the loop that searches in between."""
    still = staged.frame()
    buffers = staged.buffers(still)
    states = []
    with BackgroundLane() as lane:
        (loop,) = make_loops([staged.bundle], None, lane=lane)
        deadline = time.monotonic() + DEADLINE_S
        index = 0
        while (not states or states[-1] is not State.TRACKING) and time.monotonic() < deadline:
            now_ns = time.monotonic_ns()
            frame = Frame(rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=index, stamp_ns=now_ns)
            track = loop.track(frame, buffers)
            states.append(track.state)
            index += 1
            time.sleep(0.02)
    assert states[0] is State.SEARCHING
    assert states[-1] is State.TRACKING
    assert set(states[:-1]) <= {State.SEARCHING, State.REGISTERING}
    assert track.T_cam_obj is not None
    found = (track.T_cam_obj @ staged.bundle.T_obj_centre)[:3, 3]
    assert np.linalg.norm(found - staged.T_cam_centre[:3, 3]) < 0.004
