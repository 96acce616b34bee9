"""Several objects in one session: added and removed while it runs, verified in turn, searched for one at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from storm_edge.choices import TrackerKind
from storm_edge.errors import ConfigError
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import invert, make_T
from storm_edge.kernels.host_threads import slices
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.live.config import LanesConfig, ScheduleConfig, StormConfig
from storm_edge.live.factory import SharedParts, make_batched_group, make_object_session, make_object_sessions
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.object_tracker import StepwiseTrack
from storm_edge.live.session import Session
from storm_edge.live.track_report import FrameResult, Track, TrackState
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Segmentation
from storm_edge.pipeline.track.contract import TrackStep
from storm_edge.pipeline.verify.verifier import Verification
from storm_edge.thread_limit import usable_threads
from tests.staged import K, Staged

DEADLINE_S = 600.0
PERIOD_NS = 33_333_333


def named(staged: Staged, name: str) -> Staged:
    return replace(staged, bundle=replace(staged.bundle, object_id=name))


def empty(staged: Staged) -> Frame:
    frame = staged.frame()
    return replace(frame, rgb=np.full_like(frame.rgb, 115), depth_m=np.full_like(frame.depth_m, 0.9))


def at(frame: Frame, index: int) -> Frame:
    return replace(frame, index=index, stamp_ns=index * PERIOD_NS)


def two_mugs(staged: Staged, T_other: np.ndarray) -> Frame:
    """The staged picture with a second mug in it."""
    frame = staged.frame()
    mesh: Mesh = staged.bundle.mesh
    seen = render(MeshBuffers.from_mesh(mesh), T_other, K, frame.size_px)
    mask = (seen.mask[0] > 0) & (seen.depth[0] < frame.depth_m)
    rgb, depth_m = frame.rgb.copy(), frame.depth_m.copy()
    rgb[mask] = np.round(seen.colour[0][mask] * 255)
    depth_m[mask] = seen.depth[0][mask]
    return replace(frame, rgb=rgb, depth_m=depth_m)


class Starting:
    """Gives each object its true pose in the first frame it is seen in."""

    def __init__(self, staged: Staged, **poses: np.ndarray) -> None:
        self._T_centre_obj = invert(staged.bundle.T_obj_centre)
        self._poses = dict(poses)

    def __call__(self, item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        T = self._poses.pop(item.bundle.object_id, None)
        return None if T is None else item.start(frame, buffers, T @ self._T_centre_obj)


@pytest.mark.parametrize("kind", list(TrackerKind))
def test_objects_come_and_go_while_the_others_are_followed(staged: Staged, kind: TrackerKind) -> None:
    T_a = staged.T_cam_centre
    T_b = make_T(T_a[:3, :3], T_a[:3, 3] + [-0.25, 0.05, 0.0])
    frame = two_mugs(staged, T_b)
    group = make_batched_group(None, StormConfig(), device="cpu") if kind is TrackerKind.BATCHED else None
    a, b = (make_object_session(named(staged, name).item, None, shared=SharedParts(group=group)) for name in "ab")
    session, first = Session([a]), Starting(staged, a=T_a, b=T_b)
    seen: list[list[Track]] = []
    for index in range(9):
        if index == 3:
            session.add(b)
            with pytest.raises(ConfigError, match="a twice"):
                session.add(a)
        if index == 6:
            assert session.remove("a") is a
            with pytest.raises(ConfigError, match=r"no a, expected one of \['b'\]"):
                session.remove("a")
        tracks = session.step(at(frame, index), initialize=first).tracks
        seen.append(tracks)
    assert ["".join(track.object_id for track in tracks) for tracks in seen] == ["a"] * 3 + ["ab"] * 3 + ["b"] * 3
    for tracks in seen:
        for track in tracks:
            assert track.state is TrackState.TRACKING
            assert track.T_cam_obj is not None
            T = T_a if track.object_id == "a" else T_b
            assert np.linalg.norm((track.T_cam_obj @ staged.bundle.T_obj_centre)[:3, 3] - T[:3, 3]) < 0.002


class CountingVerifier:
    """Says yes, and when it was asked."""

    non_finite_count = 0

    def __init__(self, name: str, asked: list[str]) -> None:
        self._name, self._asked = name, asked

    def __len__(self) -> int:
        return 1

    def forget(self) -> None:
        pass

    def remember(self, frame: FrameBuffers, T_cam_centre: np.ndarray) -> None:
        pass

    def verify(self, frame: FrameBuffers, T_cam_centre: np.ndarray, visible: float | None) -> Verification:
        self._asked.append(self._name)
        return Verification(score=0.9, appearance=1.0, geometry=0.9)


@pytest.mark.parametrize(("names", "expected"), [("a", " a  a  a "), ("ab", " ab ab ab"), ("abcd", "cdabcdabc")])
def test_verifying_goes_round(staged: Staged, names: str, expected: str) -> None:
    """One object per frame is verified: every third frame each, or less often where there are more of them. In the
    first frames the sides of new tracks are asked, which comes first."""
    asked: list[str] = []
    items = [
        make_object_session(named(staged, name).item, None, verifier=CountingVerifier(name, asked)) for name in names
    ]
    session, first = Session(items), Starting(staged, **dict.fromkeys(names, staged.T_cam_centre))
    frame, by_frame = staged.frame(), []
    for index in range(24):
        asked.clear()
        session.step(at(frame, index), initialize=first)
        by_frame.append("".join(asked) or " ")
    assert "".join(by_frame[15:]) == expected[0:9]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([], [1, 4, 7, 10, 13]),
        ([4], [1, 5, 7, 10, 13]),
        ([4, 5], [1, 6, 7, 10, 13]),
        ([5, 6, 8], [1, 4, 7, 10, 13]),
        (list(range(1, 15)), [4, 10]),
    ],
)
def test_verifying_waits_for_a_frame_in_which_the_side_is_not_asked(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, busy: list[int], expected: list[int]
) -> None:
    """Both in one frame made the slowest frames. A track that is asked in every frame is verified all the same."""
    update = StepwiseTrack.update

    def updated(track: StepwiseTrack, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        return replace(update(track, frame, buffers), is_side_asked=frame.index in busy)

    monkeypatch.setattr(StepwiseTrack, "update", updated)
    config = StormConfig()
    config = replace(config, side=replace(config.side, enabled=False))
    asked: list[str] = []
    item = make_object_session(named(staged, "a").item, None, config=config, verifier=CountingVerifier("a", asked))
    session, first = Session([item], config=config), Starting(staged, a=staged.T_cam_centre)
    frame, when = staged.frame(), []
    for index in range(15):
        asked.clear()
        session.step(at(frame, index), initialize=first)
        when += [index] * len(asked)
    assert when == expected


class SlowDetector(Detector):
    """Takes so many chunks to find nothing, and writes down whose chunk it was."""

    def __init__(self, name: str, log: list[str], chunks: int = 12) -> None:
        self._name, self._log, self._chunks = name, log, chunks

    @property
    def non_finite_count(self) -> dict[str, int]:
        return {}

    def segment(
        self, frame: Frame, track_prior: TrackPrior | None = None
    ) -> Generator[str, None, tuple[ImageFeatures, Segmentation]]:
        for _ in range(self._chunks):
            self._log.append(self._name)
            yield "chunk"
        raise MemoryError("it is not there")  # a failed attempt, once


_SETTLED = 32
"""Frames after which a loss is no failed attempt, so that a local search comes first."""


def test_objects_are_searched_for_one_at_a_time(staged: Staged) -> None:
    """Two were tracked and are gone. A searches locally, then B, which goes before A's search; then B searches."""
    log: list[str] = []
    items = [
        make_object_session(named(staged, name).item, None, detector=SlowDetector(name, log, chunks=10_000))
        for name in "ab"
    ]
    session, first = Session(items), Starting(staged, a=staged.T_cam_centre, b=staged.T_cam_centre)
    frame = staged.frame()
    for index in range(_SETTLED):
        session.step(at(frame, index), initialize=first)
    per_frame = []
    for index in range(_SETTLED, _SETTLED + 20):
        before = len(log)
        session.step(at(empty(staged), index))
        per_frame.append("".join(log[before:]))
    assert all(len(set(chunks)) <= 1 and len(chunks) <= 5 for chunks in per_frame), "one object a frame"
    assert per_frame[-10:] == ["bbbbb"] * 10, "a search is not interrupted by its equal"
    assert session.remove("b") is items[1]
    before = len(log)
    session.step(at(empty(staged), _SETTLED + 20))
    assert log[before:] == ["a"] * 5


def test_an_object_is_removed_while_the_lane_searches_for_it(staged: Staged) -> None:
    log: list[str] = []
    with BackgroundLane() as lane:
        a = make_object_session(
            named(staged, "a").item,
            None,
            detector=SlowDetector("a", log, chunks=10**9),
            shared=SharedParts(lane=lane),
        )
        session, frame = Session([a], lane=lane), empty(staged)
        deadline, index = time.monotonic() + DEADLINE_S, 0
        while not log and time.monotonic() < deadline:
            session.step(at(frame, index))
            index += 1
            time.sleep(0.005)
        session.remove("a")
        count = len(log)
        done = threading.Event()

        def next_work() -> Generator[None, None, int]:
            done.set()
            yield
            return 1

        lane.submit(next_work())
        assert done.wait(DEADLINE_S), "the lane is free again"
        assert len(log) == count
        assert session.step(at(frame, index)) == FrameResult(tracks=[])


@pytest.mark.parametrize(("search_threads", "cores", "slice_count"), [(3, 8, 2), (1, 8, 1), (3, 1, 1)])
def test_searches_and_registrations_use_as_many_cores_as_they_may(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, search_threads: int, cores: int, slice_count: int
) -> None:
    """Between frames, which wait for them; tracking itself never does."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    [item] = make_object_sessions([staged.bundle], None, config=StormConfig(search_threads=search_threads))
    seen: dict[str, int] = {}

    def noting(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:
            seen[what] = len(slices(1000, 500))
            return work(*given, **named)

        return noted

    monkeypatch.setattr(item._lane, "run_chunk", noting("search", item._lane.run_chunk))
    monkeypatch.setattr(item._parts.registrar, "register", noting("register", item._parts.registrar.register))
    monkeypatch.setattr(item._tracker, "update", noting("track", item._tracker.update))
    frame = staged.frame()
    session = Session([item])
    session.step(at(frame, 0))
    item.relocalise()
    session.step(at(frame, 1), initialize=lambda i, shown, buffers: i.register(shown, buffers, staged.mask()))
    session.step(at(frame, 2))
    assert seen == {"search": slice_count, "register": slice_count, "track": 1}


def test_the_lane_is_told_of_frames_and_finds_what_is_missing(staged: Staged) -> None:
    frame = staged.frame()
    with BackgroundLane(LanesConfig(scheduler=ScheduleConfig(locate_within=1))) as lane:
        session = Session(make_object_sessions([staged.bundle], None, lane=lane), lane=lane)
        arrived: list[int] = []
        held: list[bool] = []
        arrive = lane.arrive

        def noted(number: int, *, next_due_s: float | None = None) -> int | None:
            held.append(next_due_s is not None)
            arrived.append(number)
            return arrive(number, next_due_s=next_due_s)

        lane.arrive = noted  # type: ignore[method-assign]
        allowed: list[int] = []
        lane.launch_on = allowed.append  # type: ignore[method-assign]
        deadline, index = time.monotonic() + DEADLINE_S, 0
        states = [TrackState.SEARCHING]
        while states[-1] is not TrackState.TRACKING and time.monotonic() < deadline:
            due_s = time.monotonic() + 0.03
            result = session.step(at(frame, index), next_due_s=due_s)
            states.append(result.tracks[0].state)
            again = session.step(at(frame, index), next_due_s=due_s)
            assert again == FrameResult(tracks=[], skipped_reason=SkipReason.REPEATED)
            index += 1
            time.sleep(max(0.0, due_s - time.monotonic()))
        assert states[-1] is TrackState.TRACKING
        assert arrived == list(range(index))
        assert not any(held), "nothing was tracked, so nothing had to be kept out of the way of"
        session.step(at(frame, index), next_due_s=time.monotonic() + 0.03)
        assert held.pop()
        assert set(allowed[:-1]) == {usable_threads(StormConfig().search_threads)}
        assert allowed[-1] == 1, "the other cores are for tracking"
        assert lane.skipped == 0
    assert session.faults["frames"]["repeated"] == index  # type: ignore[index]
