"""Objects that are followed together: whole tracks with a loss, one step per frame, faults, what is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from storm_edge.choices import TrackerKind
from storm_edge.errors import ConfigError, RunFault
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert, make_T
from storm_edge.live.config import SessionConfig, StormConfig
from storm_edge.live.factory import SharedParts, make_batched_group, make_object_session, make_object_sessions
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.pipeline.config import TrackConfig
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.track.batched import BatchedTracker
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.synthetic.objects import make_object
from tests.faulty import FaultyBundle
from tests.live.test_session import Starting, at, named, two_mugs
from tests.pipeline.track.test_batched import two_objects
from tests.staged import Staged

BATCHED = StormConfig(session=SessionConfig(tracker=TrackerKind.BATCHED))


def error_m(staged: Staged, track: Track, T: np.ndarray) -> float:
    assert track.T_cam_obj is not None
    return float(np.linalg.norm((track.T_cam_obj @ staged.bundle.T_obj_centre)[:3, 3] - T[:3, 3]))


@pytest.fixture(scope="module")
def carton(tmp_path_factory: pytest.TempPathFactory) -> ObjectBundle:
    path = tmp_path_factory.mktemp("carton") / "carton.ply"
    write_ply(path, make_object(4, family="box", paint_kind="labels", diameter_m=0.12, face_count=1000).mesh)
    return onboard(path, "mm", view_subdivisions=2)


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[list[bool]]:
    """Of every step that was done: who was followed in it."""
    done: list[list[bool]] = []
    update = BatchedTracker.update

    def counted(self: BatchedTracker, frame: Frame, *, is_written: bool = False) -> object:
        done.append([item.is_active for item in self.objects])
        return update(self, frame, is_written=is_written)

    monkeypatch.setattr(BatchedTracker, "update", counted)
    return done


def test_two_objects_one_of_which_is_hidden_for_a_while(
    staged: Staged, carton: ObjectBundle, updates: list[list[bool]]
) -> None:
    """One step per frame for both; the hidden one's slot is skipped, and begins again where it was found."""
    bundles = [staged.bundle, carton]
    session = Session(make_object_sessions(bundles, FaultyBundle.nano(), config=BATCHED))
    first = {"mug": staged.T_cam_centre, "carton": two_objects(staged, carton, 0)[1][1]}

    def begin(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        T = first.pop(item.bundle.object_id, None)
        return None if T is None else item.start(frame, buffers, T @ invert(item.bundle.T_obj_centre))

    rows = []
    for step in range(34):
        frame, poses = two_objects(staged, carton, step)
        if 8 <= step < 16:
            frame.rgb[100:380, 270:520], frame.depth_m[100:380, 270:520] = 240, 0.35
        found = session.step(at(frame, step), initialize=begin if step == 0 else None).tracks
        rows.append(found)
        for track, bundle, T in zip(found, bundles, poses, strict=True):
            assert (track.T_cam_obj is None) == (track.state not in (TrackState.TRACKING, TrackState.SUSPECT))
            if track.state is TrackState.TRACKING and track.T_cam_obj is not None and not 8 <= step < 16:
                error_m = ModelPoints(bundle.mesh.vertices).add_s(T, track.T_cam_obj @ bundle.T_obj_centre)
                assert error_m < 0.05 * bundle.diameter_m
    mug, other = ("".join(track.state.value[0] for track in tracks) for tracks in zip(*rows, strict=True))
    assert other == "T" * 34
    assert mug.startswith("T" * 8)
    assert "L" in mug[8:12]
    assert mug.endswith("T" * 4)
    assert len(updates) == 33, "one step per frame, none in the first"
    lost = mug.index("L")
    begun = mug.index("T", lost)
    assert updates[lost:begun] == [[False, True]] * (begun - lost)
    assert updates[begun] == [True, True]
    report = session.tracker
    assert (report["launches"], report["network_iterations"]) == ("eager: graphs are for CUDA", 1)
    tracked = [[track.latency_ms["track"] for track in tracks] for tracks in rows[1:8]]
    assert np.median(np.min(tracked, axis=1) / np.max(tracked, axis=1)) > 0.2, "the step is borne by both"


def test_a_frame_in_which_nobody_has_a_pose_costs_no_step(staged: Staged, updates: list[list[bool]]) -> None:
    group = make_batched_group(None, StormConfig(), device="cpu")
    session = Session([make_object_session(staged.item, None, shared=SharedParts(group=group))])
    for index in range(3):
        session.step(at(staged.frame(), index))
    assert updates == []
    assert session.tracker["launches"] == "eager: graphs are for CUDA"


def test_an_object_that_comes_back_goes_on_where_it_was(staged: Staged) -> None:
    group = make_batched_group(None, StormConfig(), device="cpu")
    a, b = (make_object_session(named(staged, name).item, None, shared=SharedParts(group=group)) for name in "ab")
    T_a = staged.T_cam_centre
    T_b = make_T(T_a[:3, :3], T_a[:3, 3] + [-0.25, 0.05, 0.0])
    session, first = Session([a, b]), Starting(staged, a=T_a, b=T_b)
    frame = two_mugs(staged, T_b)
    for index in range(10):
        if index == 3:
            session.remove("a")
        if index == 6:
            session.add(a)
        tracks = session.step(at(frame, index), initialize=first).tracks
        assert len(tracks) == (1 if 3 <= index < 6 else 2)
        for track in tracks:
            assert track.state is TrackState.TRACKING
            assert error_m(staged, track, T_a if track.object_id == "a" else T_b) < 0.002


def test_objects_of_two_groups_are_refused(staged: Staged) -> None:
    items = [
        make_object_session(
            named(staged, name).item,
            None,
            shared=SharedParts(group=make_batched_group(None, StormConfig(), device="cpu")),
        )
        for name in "ab"
    ]
    for others in (items, [items[0], make_object_session(named(staged, "c").item, None)]):
        with pytest.raises(ConfigError, match="several groups"):
            Session(others)
    session = Session(items[:1])
    with pytest.raises(ConfigError, match="several groups"):
        session.add(items[1])
    assert len(session.objects) == 1


def test_a_network_that_is_never_asked_is_no_part_of_the_step(staged: Staged) -> None:
    config = replace(BATCHED, track=TrackConfig(stepwise=StepwiseTrackConfig(ask_network="never")))
    networks = FaultyBundle.nano()
    session = Session(make_object_sessions([staged.bundle], networks, config=config))
    first = Starting(staged, mug=staged.T_cam_centre)
    for index in range(3):
        session.step(at(staged.frame(), index), initialize=first)
    assert session.tracker["network_iterations"] == 0
    assert "refine" not in networks.plan.calls


class Player:
    """The mug standing still, in a frame session of its own."""

    def __init__(self, staged: Staged, networks: FaultyBundle, **config: object) -> None:
        self.staged = staged
        self.session = Session(make_object_sessions([staged.bundle], networks, config=replace(BATCHED, **config)))  # type: ignore[arg-type]
        self._T_cam_obj = staged.T_cam_centre @ invert(staged.bundle.T_obj_centre)
        self._still, self._next = staged.frame(), 0

    def play(self, count: int) -> list[Track]:
        tracks = []
        for _ in range(count):
            tracks += self.session.step(at(self._still, self._next), initialize=self._first).tracks
            self._next += 1
        return tracks

    def _first(self, item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        return item.start(frame, buffers, self._T_cam_obj) if frame.index == 0 else None


@pytest.mark.parametrize(
    "fault", [lambda: RuntimeError("Warp CUDA error 700: an illegal address"), lambda: MemoryError("no more")]
)
def test_a_step_survives_one_fault_on_new_engines_and_the_second_is_the_end(
    staged: Staged, fault: Callable[[], Exception]
) -> None:
    networks = FaultyBundle.nano()
    player = Player(staged, networks)
    assert {track.state for track in player.play(4)} == {TrackState.TRACKING}
    opened = networks.plan.opened.count("refine")
    networks.plan.raises["refine"], networks.plan.times = fault, 1
    tracks = player.play(4)
    assert [track.frame for track in tracks] == [4, 5, 6, 7], "the frame was done again"
    assert {track.state for track in tracks} == {TrackState.TRACKING}
    assert max(error_m(staged, track, staged.T_cam_centre) for track in tracks) < 0.002
    assert networks.plan.opened.count("refine") > opened
    assert player.session.faults["recovered"] == {"track": str(fault())}
    networks.plan.times = 1
    with pytest.raises(RunFault, match="track lane: got "):
        player.play(3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refinenet_without_numbers_makes_the_frame_suspect_and_geometry_goes_on(staged: Staged, value: float) -> None:
    networks = FaultyBundle.nano()
    player = Player(staged, networks)
    assert [track.state for track in player.play(4)] == [TrackState.TRACKING] * 4
    networks.plan.answers["refine"] = value
    tracks = player.play(5)
    assert [track.state for track in tracks] == [TrackState.SUSPECT] * 5
    networks.plan.answers.clear()
    tracks += player.play(2)
    assert [track.state for track in tracks[-2:]] == [TrackState.TRACKING] * 2
    for track in tracks:
        assert error_m(staged, track, staged.T_cam_centre) < 0.002
        track.line()  # refuses NaN
    assert player.session.faults["non_finite"]["refine"] == 5  # type: ignore[index]
