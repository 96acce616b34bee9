"""The loop turns a track that sits on another side of its object, with either tracker, and says so meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.choices import TrackerKind
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import rotation_angle
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from tests.pipeline.side.sides import BODY_X_M, bundle_of, mug, picture, pose

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
