"""A pause of the camera, in which things may have moved: no pose is told as TRACKING before it was seen again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.choices import TrackerKind
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, invert, make_T
from storm_edge.live.config import PauseConfig, StormConfig
from storm_edge.live.factory import SharedParts, make_batched_group, make_object_session
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.pause_doubt import PauseDoubt, after_score, doubt_again
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from tests.staged import Staged

PERIOD_NS = 33_333_333
KINDS = list(TrackerKind)
PAUSE = 60
"""Frames that do not come."""


def run(staged: Staged, poses: list[np.ndarray], numbers: list[int], kind: TrackerKind) -> list[Track]:
    """What is told of the mug at these poses, in frames of these numbers and their times."""
    group = make_batched_group(None, StormConfig(), device="cpu") if kind is TrackerKind.BATCHED else None
    loop = Session([make_object_session(staged.item, None, shared=SharedParts(group=group))])
    T_first = poses[0] @ invert(staged.bundle.T_obj_centre)

    def first(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        return item.start(frame, buffers, T_first) if frame.index == 0 else None

    pictures: dict[bytes, Frame] = {}
    told = []
    for T, number in zip(poses, numbers, strict=True):
        picture = pictures.setdefault(T.tobytes(), staged.frame(T))
        frame = replace(picture, index=number, stamp_ns=number * PERIOD_NS)
        told += loop.step(frame, initialize=first).tracks
    return told


def error_diameters(staged: Staged, track: Track, T: np.ndarray) -> float:
    """Mean distance of the model's points between the pose that was told and the true one."""
    assert track.T_cam_obj is not None
    points = np.asarray(staged.bundle.mesh.vertices)
    found = track.T_cam_obj @ staged.bundle.T_obj_centre
    apart_m = np.linalg.norm(points @ (found[:3, :3] - T[:3, :3]).T + (found[:3, 3] - T[:3, 3]), axis=1)
    return float(apart_m.mean()) / staged.bundle.diameter_m


def numbers(before: int, after: int, missing: int = PAUSE) -> list[int]:
    return [*range(before), *range(before + missing, before + missing + after)]


MOVES = {
    "aside": make_T(np.eye(3), [0.2, 0.0, 0.0]),
    "up": make_T(np.eye(3), [0.0, -0.2, 0.0]),
    "away": make_T(np.eye(3), [0.0, 0.0, 0.2]),
    "aside and turned": make_T(exp_so3([0.0, 0.0, 0.5]), [0.14, 0.14, 0.0]),
    "turned": make_T(exp_so3([0.0, 1.2, 0.0]), [0.0, 0.0, 0.0]),
}
"""Turn about the centre, and shift in diameters."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("move", list(MOVES))
def test_what_moved_during_a_pause_is_never_told_where_it_is_not(
    staged: Staged, move: str, kind: TrackerKind
) -> None:
    T, by = staged.T_cam_centre, MOVES[move]
    moved = make_T(by[:3, :3] @ T[:3, :3], T[:3, 3] + staged.bundle.diameter_m * by[:3, 3])
    poses = [T] * 6 + [moved] * 12
    told = run(staged, poses, numbers(6, 12), kind)
    assert {track.state for track in told[:6]} == {TrackState.TRACKING}
    assert told[6].state is not TrackState.TRACKING, "a single frame confirms nothing"
    for track, truth in zip(told[6:], poses[6:], strict=True):
        if track.state is TrackState.TRACKING:
            assert error_diameters(staged, track, truth) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_what_stood_still_is_tracked_again_within_three_frames(staged: Staged, kind: TrackerKind) -> None:
    told = run(staged, [staged.T_cam_centre] * 12, numbers(6, 6), kind)
    assert [track.state for track in told[:6]] == [TrackState.TRACKING] * 6
    assert told[6].state is TrackState.SUSPECT
    assert [track.state for track in told[8:]] == [TrackState.TRACKING] * 4


@pytest.mark.parametrize("missing", [1, 3])
def test_a_few_missing_frames_cost_nothing(staged: Staged, missing: int) -> None:
    T = staged.T_cam_centre
    poses = [make_T(T[:3, :3], T[:3, 3] + [0.001 * i, 0.0, 0.0]) for i in range(12)]
    told = run(staged, poses, numbers(6, 6, missing), TrackerKind.STEPWISE)
    plain = run(staged, poses, numbers(6, 6, 0), TrackerKind.STEPWISE)
    assert {track.state for track in told} == {TrackState.TRACKING}
    for track, expected in zip(told, plain, strict=True):
        np.testing.assert_array_equal(track.T_cam_obj, expected.T_cam_obj)


# The rule by itself -------------------------------------------------------------------------------------------------


def frames_until_confirmed(scores: list[float], doubt: PauseDoubt) -> int | None:
    found: PauseDoubt | None = doubt
    for count, score in enumerate(scores, start=1):
        assert found is not None
        found = after_score(found, score, is_trusted=score >= 0.5, config=PauseConfig())
        if found is None:
            return count
    return None


@pytest.mark.parametrize(
    ("scores", "frames"),
    [
        ([0.9, 0.9], 2),
        ([0.6, 0.9, 0.9], 3),
        ([0.9, 0.6, 0.9, 0.9], 4),  # in a row
        ([0.75] * 20, 15),  # another light
        ([0.75] * 10 + [0.4] + [0.75] * 20, 26),
        ([0.4] * 100, None),
    ],
)
def test_a_pose_is_confirmed_by_scores_as_good_as_before(scores: list[float], frames: int | None) -> None:
    assert frames_until_confirmed(scores, PauseDoubt(frame=10, score_before=0.9)) == frames


def test_where_there_was_no_track_before_many_frames_confirm_it() -> None:
    assert frames_until_confirmed([0.95] * 20, PauseDoubt(frame=10)) == 15


def test_a_second_pause_is_measured_by_what_was_before_the_first() -> None:
    doubt = replace(PauseDoubt(frame=10, score_before=0.9), good_count=1, trusted_count=3)
    assert doubt_again(doubt, 20, 0.6) == PauseDoubt(frame=20, score_before=0.9)
    assert doubt_again(None, 20, 0.6) == PauseDoubt(frame=20, score_before=0.6)
