"""The loop turns a track that sits on another side of its object, with either tracker, and says so meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.choices import TrackerKind
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import rotation_angle
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.side_belief import SideCheckedTrack
from storm_edge.live.track_report import Track, TrackState
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.side.check import SideAnswer
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.track.contract import TrackStep
from storm_edge.synthetic.primitives import revolve
from tests.pipeline.side.sides import BODY_X_M, WALL_M, bundle_of, mug, picture, pose

Float64 = NDArray[np.float64]

AXIS = (BODY_X_M, 0.0, 0.0)
RIGHT_DEG = 40.0


def tracks(turn_deg: float, kind: TrackerKind, *, enabled: bool = True, count: int = 10) -> list[Track]:
    """What is reported of a mug that is begun turned by so much."""
    config = StormConfig()
    config = replace(
        config, session=replace(config.session, tracker=kind), side=replace(config.side, enabled=enabled)
    )
    start = pose(RIGHT_DEG + turn_deg, point_m=AXIS)

    def begin(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track:
        return item.start(frame, buffers, start)

    with Session(make_object_sessions([bundle_of(mug())], None, config=config), config=config) as session:
        frames = [picture(mug(), pose(RIGHT_DEG, point_m=AXIS), index) for index in range(count)]
        return [session.step(frame, initialize=begin if frame.index == 0 else None).tracks[0] for frame in frames]


def left_deg(track: Track) -> float:
    assert track.T_cam_obj is not None
    right = pose(RIGHT_DEG, point_m=AXIS)
    return float(np.rad2deg(rotation_angle(track.T_cam_obj[:3, :3], right[:3, :3])))


@pytest.mark.parametrize(
    ("kind", "turn_deg"), [*((kind, 150.0) for kind in TrackerKind), (TrackerKind.STEPWISE, 90.0)]
)
def test_a_turned_start_is_doubted_and_corrected_within_ten_frames(kind: TrackerKind, turn_deg: float) -> None:
    said = tracks(turn_deg, kind)
    assert any(track.state is TrackState.SUSPECT for track in said)
    assert left_deg(said[9]) < 8.0
    assert said[9].state is TrackState.TRACKING


@pytest.mark.parametrize("turn_deg", [30.0, -30.0])
def test_a_small_turn_is_not_made_a_large_one(turn_deg: float) -> None:
    """From there other sides may look better than the right one, which is near."""
    said = tracks(turn_deg, TrackerKind.STEPWISE)
    assert max(left_deg(track) for track in said) < 45.0
    assert left_deg(said[9]) < 8.0


@pytest.mark.parametrize("kind", list(TrackerKind))
def test_a_right_start_is_not_touched(kind: TrackerKind) -> None:
    said, unasked = tracks(0.0, kind), tracks(0.0, kind, enabled=False)
    assert {track.state for track in said} == {TrackState.TRACKING}
    for track, other in zip(said, unasked, strict=True):
        np.testing.assert_array_equal(track.T_cam_obj, other.T_cam_obj)
        assert track.confidence == other.confidence


class Steps:
    """A tracker whose pose stands still, with the confidences that are given."""

    appearance = None

    def __init__(self, confidences: Sequence[float]) -> None:
        self._confidences = iter(confidences)

    def start(self, frame: Frame | None, T_cam_centre: Float64) -> None:
        pass

    def update(self, frame: Frame | None, buffers: FrameBuffers | None) -> TrackStep:
        confidence = next(self._confidences)
        return TrackStep(
            T_cam_centre=POSE, confidence=confidence, residual=0.1, network_used=False, is_non_finite=False
        )


class Looks:
    """A check that finds nothing; `near` are the steps in which the nearest turns alone were looked at, and
    `nearest_heard` those in which they were to become rivals whatever they cost."""

    has_questions, has_near_turns, is_hearing, ambiguity = True, True, False, None

    def __init__(self) -> None:
        self.is_new = True
        self.near: list[int] = []
        self.nearest_heard: list[int] = []
        self.step = 0

    def forget(self) -> None:
        pass

    def look(self, *_: object, near_only: bool, hear_nearest: bool) -> SideAnswer:
        self.is_new = False
        if hear_nearest:
            self.nearest_heard.append(self.step)
        if near_only:
            self.near.append(self.step)
        return SideAnswer()


POSE = pose(RIGHT_DEG, point_m=AXIS)


def asked(confidences: Sequence[float], config: SideConfig) -> Looks:
    """The looks at a track with these confidences."""
    looks = Looks()
    track = SideCheckedTrack(cast(Any, Steps(confidences)), cast(Any, looks), cast(Any, None), config)
    track.start(cast(Any, None), POSE)
    for looks.step in range(len(confidences)):
        track.update(cast(Any, None), cast(Any, None))
    return looks


def near_looks(confidences: Sequence[float], config: SideConfig) -> list[int]:
    """The steps in which the nearest turns were compared, of a track with these confidences."""
    return asked(confidences, config).near


def test_a_track_that_is_less_sure_than_usual_is_asked_about_small_turns() -> None:
    """It slipped about its own axis in slow steps: nothing but its confidence tells."""
    config = SideConfig()
    assert near_looks([0.9] * 25, config) == []
    assert near_looks([0.88, 0.92] * 12, config) == []
    fallen = near_looks([*[0.9] * 20, 0.8, 0.8, 0.8, 0.8, *[0.9] * 4], config)
    assert fallen == [20, 20 + config.near_every]
    # It stays at what a hand that holds the object leaves of it: that is usual soon.
    held = near_looks([*[0.9] * 20, *[0.7] * 40], config)
    assert held[0] == 20
    assert max(held) < 45


def test_the_nearest_turns_are_heard_of_a_track_that_is_less_sure_than_usual() -> None:
    """From a pose that stayed behind, the right one may look worse until it is refined."""
    config = SideConfig()
    assert asked([*[0.9] * 20, 0.8, *[0.9] * 9], config).nearest_heard == [20]
    assert asked([0.9] * 70, config).nearest_heard == []


def test_a_track_that_fell_far_is_asked_in_every_image() -> None:
    config = SideConfig()
    assert near_looks([*[0.9] * 20, 0.6, 0.6, 0.6, *[0.9] * 4], config)[:3] == [20, 21, 22]


def test_what_the_first_image_cannot_tell_is_told_with_the_first_pose() -> None:
    """A can of one colour whose symmetry nobody declared, registered from its mask."""
    vertices, faces = revolve(np.array([[0.03, -0.05], [0.03, 0.05]]), 0.008)
    can = make_mesh(vertices, faces, colours=np.full((len(vertices), 3), (0.2, 0.6, 0.3)))
    frame = picture(can, pose())
    mask = frame.depth_m < WALL_M - 0.05
    with Session(make_object_sessions([bundle_of(can)], None), config=StormConfig()) as session:
        (found,) = session.step(frame, initialize=lambda item, first, held: item.register(first, held, mask)).tracks
    assert found.T_cam_obj is not None
    assert found.ambiguous is not None
    assert abs(found.ambiguous.axis[2]) > 0.99
