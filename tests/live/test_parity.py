"""STORM's decisions under the schedule ``parity``, in the live loop's state machine."""

from __future__ import annotations

import pytest

from storm_edge.choices import Schedule
from storm_edge.live.config import StormConfig
from storm_edge.live.events import (
    ForgetCrops,
    MaskFound,
    PoseFound,
    PoseGiven,
    PosePropagated,
    RegisterMask,
    RememberCrop,
    ScoreSource,
    SearchImage,
    StartTrack,
)
from storm_edge.live.schedules import with_schedule
from storm_edge.live.track_report import TrackState
from tests.live.test_state_machine import Loop


@pytest.fixture
def loop() -> Loop:
    """A track that was just given."""
    made = Loop(with_schedule(StormConfig(), Schedule.PARITY).state_machine)
    made.tick()
    made.send(PoseGiven(frame=made.state.frame, score=0.0))
    return made


def test_geometry_has_no_say_and_no_further_crop_is_remembered(loop: Loop) -> None:
    remembered = 0
    for _ in range(200):
        loop.tick()
        loop.score_pose(0.0)
        remembered += any(isinstance(a, RememberCrop) for a in loop.score_pose(1.0, ScoreSource.NETWORK))
        assert loop.state.track_state is TrackState.TRACKING
    assert remembered == 0


@pytest.mark.parametrize(("score", "state"), [(0.5, TrackState.TRACKING), (0.499, TrackState.LOST)])
def test_one_no_of_tom_ends_the_track(loop: Loop, score: float, state: TrackState) -> None:
    loop.tick()
    loop.score_pose(1.0)
    loop.score_pose(score, ScoreSource.NETWORK)
    assert loop.state.track_state is state


def test_the_next_frame_is_registered_anew_whatever_the_pose_is_worth(loop: Loop) -> None:
    """Not by a search around the last place; and the crop of that registration is the one that counts."""
    loop.tick()
    loop.score_pose(0.0, ScoreSource.NETWORK)
    assert [type(action) for action in loop.tick()] == [SearchImage]
    attempt = loop.state.attempt
    assert attempt is not None
    frame, number = loop.state.frame, attempt.number
    assert [type(a) for a in loop.send(MaskFound(attempt=number, frame=frame))] == [RegisterMask]
    loop.send(PoseFound(attempt=number, frame=frame, score=0.0))
    started = loop.send(PosePropagated(attempt=number, frame=frame, score=0.0, network_score=0.0))
    assert [type(action) for action in started] == [StartTrack, ForgetCrops, RememberCrop]
    assert loop.state.track_state is TrackState.TRACKING
