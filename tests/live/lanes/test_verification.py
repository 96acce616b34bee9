"""Verification on a lane: tracking never waits for it, and each score is about its frame and its track."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from storm_edge.errors import RunFault
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.live.config import LanesConfig, ScheduleConfig
from storm_edge.live.events import Event, PoseScored, ScoreSource
from storm_edge.live.factory import SharedParts, make_object_session
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.track_report import Track, TrackState
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.verify.verifier import Verification
from tests.staged import Staged

DEADLINE_S = 600.0
QUICK = LanesConfig(scheduler=ScheduleConfig(silence_s=0.02))
"""Frames come far apart here: chunks run as soon as nobody tracks."""


def mark(rgb: np.ndarray, number: int) -> None:
    """Write a frame's number into its first pixel: a quick machine plays more frames than a byte can count."""
    rgb[0, 0] = number & 255, number >> 8 & 255, number >> 16


def number_of(frame: FrameBuffers) -> int:
    """The number that `mark` wrote."""
    red, green, blue = frame.rgb.numpy()[0, 0].tolist()
    return int(red | green << 8 | blue << 16)


class Verifier:
    """Answers when it is let, and writes down which frames it saw: they are marked by their first pixel."""

    non_finite_count = 0

    def __init__(self) -> None:
        self.score = 0.9
        self.faults: list[Exception] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked: list[int] = []
        self.remembered: list[int] = []
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return len(self.remembered)

    def forget(self) -> None:
        self.remembered.clear()

    def remember(self, frame: FrameBuffers, T_cam_centre: np.ndarray) -> None:
        self.remembered.append(number_of(frame))

    def verify(self, frame: FrameBuffers, T_cam_centre: np.ndarray, visible: float | None) -> Verification:
        self.threads.add(threading.current_thread().name)
        self.asked.append(number_of(frame))
        score = self.score
        assert self.may_answer.wait(DEADLINE_S)
        if self.faults:
            raise self.faults.pop()
        return Verification(score=score, appearance=1.0, geometry=score)


class Player:
    """The mug standing still; every frame is marked with its number."""

    def __init__(self, staged: Staged, verifier: Verifier, lane: BackgroundLane | None) -> None:
        self.loop = make_object_session(staged.item, None, verifier=verifier, shared=SharedParts(lane=lane))
        self.received: list[tuple[int, PoseScored]] = []
        self._staged, self._still, self._buffers = staged, staged.frame(), staged.buffers()
        self._next = 0
        handle = self.loop._handle

        def noted(event: Event) -> None:
            if isinstance(event, PoseScored) and event.source is ScoreSource.NETWORK:
                self.received.append((self.loop.state.frame, event))
            handle(event)

        self.loop._handle = noted  # type: ignore[method-assign]

    def play(self, count: int = 1) -> list[Track]:
        return [self._frame() for _ in range(count)]

    def play_until(self, happened: Callable[[], bool]) -> list[Track]:
        tracks, deadline = [], time.monotonic() + DEADLINE_S
        while not happened():
            assert time.monotonic() < deadline, "it never happened"
            tracks += self.play()
            time.sleep(0.002)
        return tracks

    def give(self) -> Track:
        frame = self._upload()
        T_cam_obj = self._staged.T_cam_centre @ invert(self._staged.bundle.T_obj_centre)
        return self.loop.start(frame, self._buffers, T_cam_obj)

    def _frame(self) -> Track:
        if self._next == 0:
            return self.give()
        return self.loop.track(self._upload(), self._buffers)

    def _upload(self) -> Frame:
        rgb = self._still.rgb.copy()
        mark(rgb, self._next)
        frame = replace(self._still, rgb=rgb, index=self._next, stamp_ns=self._next * 33_333_333)
        self._buffers.upload(frame)
        self._next += 1
        return frame


def test_tracking_goes_on_while_a_pose_is_verified_and_the_score_names_its_frame(staged: Staged) -> None:
    verifier = Verifier()
    with BackgroundLane(QUICK) as lane:
        player = Player(staged, verifier, lane)
        player.play_until(lambda: bool(player.received))
        verifier.may_answer.clear()
        verifier.score = 0.0  # an average of 0.45
        count = len(verifier.asked)
        player.play_until(lambda: len(verifier.asked) > count)
        asked = verifier.asked[-1]
        tracks = player.play(9)
        assert {track.state for track in tracks} == {TrackState.TRACKING}
        assert len(verifier.asked) == count + 1, "one request at a time"
        verifier.may_answer.set()
        received = len(player.received)
        (*_, last) = player.play_until(lambda: len(player.received) > received)
        when, scored = player.received[received]
        assert (scored.frame, scored.score) == (asked, 0.0)
        assert when == last.frame > asked + 9
        assert last.state is TrackState.SUSPECT
        verifier.score = 0.9
        player.play_until(lambda: player.loop.state.track_state is TrackState.TRACKING)
    assert verifier.threads == {"locate"}
    assert all(scored.frame <= when for when, scored in player.received)


def test_without_a_lane_scores_are_of_the_frame_in_which_they_arrive(staged: Staged) -> None:
    verifier = Verifier()
    player = Player(staged, verifier, None)
    player.play(10)
    # In frames 1, 4 and 7 the side of the new track is asked.
    assert [(when, scored.frame) for when, scored in player.received] == [(2, 2), (5, 5), (8, 8)]
    assert verifier.asked == [2, 5, 8]
    assert verifier.threads == {threading.current_thread().name}


def test_what_is_remembered_is_the_frame_it_was_trusted_in(staged: Staged) -> None:
    verifier = Verifier()
    with BackgroundLane(QUICK) as lane:
        player = Player(staged, verifier, lane)
        player.play_until(lambda: len(verifier.remembered) > 2)
    assert verifier.remembered[0] == 0
    assert (np.diff(verifier.remembered) >= 10).all()


def test_no_score_of_the_old_pose_counts_for_a_new_one(staged: Staged) -> None:
    """A pose is given while a low score of the old one waits to be collected: it is dropped, and new ones count."""
    verifier = Verifier()
    with BackgroundLane(QUICK) as lane:
        player = Player(staged, verifier, lane)
        player.play_until(lambda: bool(player.received))
        verifier.score = 0.0
        count = len(verifier.asked)
        player.play_until(lambda: len(verifier.asked) > count)
        verifier.score = 0.9
        begun = player.give()
        assert begun.state is TrackState.TRACKING
        received = len(player.received)
        tracks = player.play_until(lambda: len(player.received) > received + 1)
        assert {track.state for track in tracks} == {TrackState.TRACKING}
        assert all(scored.frame >= begun.frame for _, scored in player.received[received:])


def test_low_scores_lose_the_track_and_leave_nothing_in_progress(staged: Staged) -> None:
    verifier = Verifier()
    with BackgroundLane(QUICK) as lane:
        player = Player(staged, verifier, lane)
        player.play_until(lambda: bool(player.received))
        verifier.score = 0.0
        tracks = player.play_until(lambda: not player.loop.state.has_pose)
        states = [track.state for track in tracks]
        assert TrackState.SUSPECT in states
        assert len(player.received) >= 4, "one low score is no loss"
        assert player.loop._verification._futures == []
        player.loop.stop()


def test_a_fault_beside_the_frames_rebuilds_the_lane_once_and_then_ends_the_run(staged: Staged) -> None:
    verifier = Verifier()
    with BackgroundLane(QUICK) as lane:
        player = Player(staged, verifier, lane)
        player.play_until(lambda: bool(player.received))
        verifier.faults.append(MemoryError("no more"))
        player.play_until(lambda: bool(player.loop.rebuild_reasons))
        assert player.loop.rebuild_reasons == {"verify": "no more"}
        received = len(player.received)
        assert {t.state for t in player.play_until(lambda: len(player.received) > received)} == {TrackState.TRACKING}
        verifier.faults.append(MemoryError("again"))
        with pytest.raises(RunFault, match="verify lane: got 'again' after it was rebuilt for 'no more'"):
            player.play_until(lambda: False)


def test_a_verification_that_hangs_ends_the_run_with_the_reason(staged: Staged) -> None:
    verifier = Verifier()
    try:
        with BackgroundLane(replace(QUICK, hang_s=1.0)) as lane:
            player = Player(staged, verifier, lane)
            player.play_until(lambda: bool(player.received))
            verifier.may_answer.clear()
            with pytest.raises(RunFault, match="verify lane: got no end of a chunk"):
                player.play_until(lambda: False)
    finally:
        verifier.may_answer.set()
