"""The background lane: turns, results, errors, deadlines, chunks that hang; a search beside the frames."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Generator

import numpy as np
import pytest

from storm_edge.errors import BackendError
from storm_edge.frame import Frame
from storm_edge.kernels.host_threads import slices
from storm_edge.live.config import LanesConfig, ScheduleConfig
from storm_edge.live.factory import SharedParts, make_object_session, make_object_sessions
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.live.track_report import TrackState
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Segmentation
from tests.staged import Staged

DEADLINE_S = 600.0


def counting(name: str, chunks: int, log: list[str]) -> Generator[None, None, int]:
    for _ in range(chunks):
        log.append(name)
        yield
    return chunks


def wait_for(future: LaneFuture[int]) -> None:
    wait_until(lambda: future.done())


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, "the lane never did it"
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
        futures = [lane.submit(counting(name, 3, log)) for name in "ab"]
        gate.set()
        for future in (opened, *futures):
            wait_for(future)
    assert log == ["a", "b"] * 3
    assert [future.result() for future in futures] == [3, 3]


def test_an_error_is_raised_where_the_answer_is_asked_for_and_the_lane_goes_on() -> None:
    def failing() -> Generator[None, None, int]:
        yield
        raise ValueError("broken depth")

    with BackgroundLane() as lane:
        mismatch, good = lane.submit(failing()), lane.submit(counting("x", 1, []))
        wait_for(mismatch)
        wait_for(good)
        with pytest.raises(ValueError, match="broken depth"):
            mismatch.result()
        assert good.result() == 1


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
        future = lane.submit(slow())
        assert started.wait(DEADLINE_S)
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result()  # it has not ended
        future.cancel()
        future.cancel()
        assert log == ["chunk over"]
        assert future.done()
        assert future.result() is None
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


def stuck(gate: threading.Event, *, chunks: int = 0) -> Generator[str, None, int]:
    for _ in range(chunks):
        yield "quick"
    gate.wait(DEADLINE_S)
    yield "stuck"
    return 7


def test_launches_of_chunks_use_what_is_allowed_when_they_begin() -> None:
    """One thread at first; more while nothing is tracked; one again, in the middle of the work."""
    seen: list[int] = []
    lane = BackgroundLane()

    def work() -> Generator[None, None, int]:
        for allowed in (3, 1):
            seen.append(len(slices(1000, 500)))
            lane.launch_on(allowed)
            yield
        seen.append(len(slices(1000, 500)))
        return 0

    with lane:
        wait_for(lane.submit(work()))
    assert seen == [1, 2, 1]


def test_verifying_goes_before_locating() -> None:
    log: list[str] = []
    gate = threading.Event()
    with BackgroundLane() as lane:
        futures = [lane.submit(stuck(gate)), lane.submit(counting("locate", 2, log))]
        futures.append(lane.submit(counting("verify", 2, log), kind="tom", lane=Lane.VERIFY))
        gate.set()
        for future in futures:
            wait_for(future)
    assert log == ["verify", "verify", "locate", "locate"]


def slow_chunks(begun: list[float], chunks: int) -> Generator[str, None, int]:
    for _ in range(chunks):
        begun.append(time.monotonic())
        time.sleep(0.05)
        yield "same"
    return chunks


def test_a_chunk_begins_between_frames_and_where_it_does_not_fit_only_after_so_many() -> None:
    begun: list[float] = []
    with BackgroundLane(LanesConfig(scheduler=ScheduleConfig(locate_within=3, silence_s=DEADLINE_S))) as lane:
        wait_for(lane.submit(slow_chunks(begun, 3), kind="slow"))  # no frame yet: it runs, and is measured
        begun.clear()

        lane.arrive(0, next_due_s=time.monotonic() + DEADLINE_S)
        with lane.tracking():
            future = lane.submit(slow_chunks(begun, 2), kind="slow")
            time.sleep(0.1)
            assert not begun, "it began beside tracking"
        wait_for(future)
        assert len(begun) == 2
        begun.clear()

        for index in range(1, 5):  # 10 ms are too few for a chunk of 50 ms
            lane.arrive(index, next_due_s=time.monotonic() + 0.01)
            with lane.tracking() as frame:
                assert frame == index
                if index == 1:
                    future = lane.submit(slow_chunks(begun, 1), kind="slow")
            time.sleep(0.03)
            if index < 4:
                assert not begun
        wait_until(lambda: bool(begun))
        lane.arrive(5)  # and nobody knows when the next one comes
        with lane.tracking():
            pass
        wait_for(future)


def test_when_the_frames_stop_chunks_run_as_they_come() -> None:
    begun: list[float] = []
    with BackgroundLane(LanesConfig(scheduler=ScheduleConfig(silence_s=0.1))) as lane:
        due_s = time.monotonic() + 0.01
        lane.arrive(0, next_due_s=due_s)
        future = lane.submit(slow_chunks(begun, 2))
        with pytest.raises(ZeroDivisionError), lane.tracking():
            raise ZeroDivisionError  # tracking is over then, too
        wait_for(future)
    assert begun[0] >= due_s + 0.1


def test_frames_that_nobody_had_time_for_are_counted() -> None:
    with BackgroundLane() as lane:
        assert [lane.arrive(index) for index in (1, 2, 4)] == [None, 1, 2]
        with lane.tracking() as frame:
            assert frame == 4
        with lane.tracking() as frame:
            assert frame is None
        assert lane.skipped == 2


def test_a_chunk_that_hangs_is_the_error_of_its_future_and_the_others_go_on_once() -> None:
    gate = threading.Event()
    try:
        with BackgroundLane(LanesConfig(hang_s=0.4, first_hang_s=0.6)) as lane:
            wait_for(lane.submit(counting("x", 3, []), kind="judge"))
            first, other = lane.submit(stuck(gate), kind="segment"), lane.submit(counting("x", 3, []))
            wait_for(first)
            wait_for(other)
            with pytest.raises(BackendError, match=r"locate lane: got no end of a chunk \(segment, first\)"):
                first.result()
            assert other.result() == 3
            assert lane.thread_replaced
            again, waiting = lane.submit(stuck(gate, chunks=4), kind="segment"), lane.submit(stuck(gate))
            wait_for(again)
            for future in (again, waiting):
                with pytest.raises(BackendError, match="start again"):
                    future.result()
            with pytest.raises(BackendError, match="start again"):
                lane.submit(counting("x", 1, []))
            gate.set()  # what comes back too late changes nothing
            time.sleep(0.05)
            with pytest.raises(BackendError):
                first.result()
    finally:
        gate.set()
    with pytest.raises(RuntimeError, match="not open"):
        lane.submit(counting("x", 1, []))


def test_nobody_waits_for_ever_to_cancel_a_chunk_that_hangs_or_to_close() -> None:
    gate = threading.Event()
    try:
        with BackgroundLane(LanesConfig(hang_s=0.1, first_hang_s=0.2)) as lane:
            future = lane.submit(stuck(gate))
            time.sleep(0.05)
            with pytest.raises(BackendError, match="no end of a chunk"):
                future.cancel()
            lane.submit(stuck(gate))
    finally:
        gate.set()


@pytest.mark.parametrize("deadlines", [False, True])
def test_a_loop_finds_its_object_beside_the_frames(staged: Staged, deadlines: bool) -> None:
    """No frame waits for the search, the states are those of the loop that searches in between."""
    still = staged.frame()
    buffers = staged.buffers(still)
    states = []
    with BackgroundLane(LanesConfig(scheduler=ScheduleConfig(locate_within=1))) as lane:
        (loop,) = make_object_sessions([staged.bundle], None, lane=lane)
        deadline = time.monotonic() + DEADLINE_S
        index = 0
        while (not states or states[-1] is not TrackState.TRACKING) and time.monotonic() < deadline:
            now_ns = time.monotonic_ns()
            frame = Frame(rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=index, stamp_ns=now_ns)
            due_s = time.monotonic() + 0.03
            if deadlines:
                lane.arrive(index, next_due_s=due_s)
            with lane.tracking() as told:
                assert told == (index if deadlines else None)
                track = loop.track(frame, buffers)
            states.append(track.state)
            index += 1
            time.sleep(max(0.0, due_s - time.monotonic()))
    assert states[0] is TrackState.SEARCHING
    assert states[-1] is TrackState.TRACKING
    assert set(states[:-1]) <= {TrackState.SEARCHING, TrackState.REGISTERING}
    assert track.T_cam_obj is not None
    found = (track.T_cam_obj @ staged.bundle.T_obj_centre)[:3, 3]
    assert np.linalg.norm(found - staged.T_cam_centre[:3, 3]) < 0.004


def test_a_search_that_hangs_is_an_error_of_its_loop_with_the_reason(staged: Staged) -> None:
    gate = threading.Event()

    class StuckDetector(Detector):
        def __init__(self) -> None:
            pass

        def segment(
            self, frame: Frame, track_prior: TrackPrior | None = None
        ) -> Generator[str, None, tuple[ImageFeatures, Segmentation]]:
            gate.wait(DEADLINE_S)
            yield "chunk"
            raise AssertionError

    still = staged.frame()
    buffers = staged.buffers(still)
    try:
        with BackgroundLane(LanesConfig(first_hang_s=0.3)) as lane:
            loop = make_object_session(staged.item, None, detector=StuckDetector(), shared=SharedParts(lane=lane))

            def track_until_it_raises() -> None:
                deadline = time.monotonic() + DEADLINE_S
                for index in itertools.takewhile(lambda _: time.monotonic() < deadline, itertools.count()):
                    stamp_ns = index * 10_000_000
                    frame = Frame(rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=index, stamp_ns=stamp_ns)
                    assert loop.track(frame, buffers).T_cam_obj is None
                    time.sleep(0.01)

            with pytest.raises(BackendError, match=r"locate lane: got no end of a chunk \(search, first\)"):
                track_until_it_raises()
    finally:
        gate.set()


def test_frames_do_not_wake_a_thread_that_has_nothing_to_do() -> None:
    """Woken for nothing it would take the interpreter from the loop, three times a frame."""
    asked: list[str] = []
    with BackgroundLane() as lane:
        choose = lane._scheduler.choose

        def spy(*arguments: object, **named: object) -> object:
            asked.append(threading.current_thread().name)
            return choose(*arguments, **named)  # type: ignore[arg-type]

        lane._scheduler.choose = spy  # type: ignore[method-assign, assignment]
        wait_for(lane.submit(counting("x", 1, [])))
        wait_until(lambda: bool(lane._changed._waiters))  # type: ignore[attr-defined]  # it has begun, and sleeps
        asked.clear()
        for frame in range(20):
            lane.arrive(frame, next_due_s=time.monotonic() + 1.0)
            with lane.tracking():
                pass
            time.sleep(0.001)
        assert "locate" not in asked
        wait_for(lane.submit(counting("x", 1, [])))
        assert "locate" in asked


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_the_thread_gives_way_to_the_loop() -> None:
    def ask() -> Generator[None, None, int]:
        yield
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with BackgroundLane() as lane:
        future = lane.submit(ask())
        wait_for(future)
        assert future.result() == min(before + LanesConfig().niceness, 19)
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_a_system_that_has_no_such_priority_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse, raising=False)
    with BackgroundLane() as lane:
        future = lane.submit(counting("x", 2, []))
        wait_for(future)
        assert future.result() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_a_search_gives_way_once_there_is_something_to_track() -> None:
    def priority() -> Generator[str, None, int]:
        yield "one"
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, 0)
    expected = [before, *[min(before + LanesConfig().niceness, 19)] * 2]  # told twice is lowered once
    with BackgroundLane(gives_way=False) as lane:
        for wanted in expected:
            future = lane.submit(priority())
            wait_for(future)
            assert future.result() == wanted
            lane.give_way()
    BackgroundLane(gives_way=False).give_way()  # not open: nothing to do
