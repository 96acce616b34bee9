"""Frames that come twice, late, with another clock or another camera: skipped or gone on with, and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from storm_edge.choices import TrackerKind
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, invert, make_T, rotation_angle
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.live.config import FrameGateConfig, StormConfig
from storm_edge.live.factory import SharedParts, make_batched_group, make_object_session
from storm_edge.live.frame_gate import Gate, SkipReason, admit, find_fault
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.replay.summary import describe_frames
from tests.staged import TABLE_DEPTH_M, K, Staged

CONFIG = FrameGateConfig()
PERIOD_NS = 33_333_333
HOUR_NS = 3600 * 10**9


def still(index: int, stamp_ns: int | None = None, *, grey: int = 0, K: np.ndarray = K) -> Frame:
    """A tiny picture, another one for every grey; none is black."""
    rgb = np.full((2, 3, 3), 10 + grey % 240, dtype=np.uint8)
    stamp_ns = index * PERIOD_NS if stamp_ns is None else stamp_ns
    return Frame(rgb=rgb, depth_m=np.ones((2, 3), dtype=np.float32), K=K, index=index, stamp_ns=stamp_ns)


def through(frames: list[Frame]) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """Number and time on the loop's clock of the frames that are let through, and the counts."""
    gate, seen = Gate(), []
    for frame in frames:
        gate, admitted = admit(gate, frame, CONFIG)
        if admitted is not None:
            seen.append((admitted.index, admitted.stamp_ns))
    return seen, {name: count for name, count in gate.counts.items() if count}


def test_frames_in_order_pass_as_they_are() -> None:
    frames = [still(index) for index in (0, 1, 2, 40, 41)]  # a gap that the numbers and the stamps agree on
    assert through(frames) == ([(frame.index, frame.stamp_ns) for frame in frames], {})


def test_what_was_there_before_is_skipped_and_counted() -> None:
    frames = [still(0), still(1), still(1), still(0), still(2), still(3, 2 * PERIOD_NS), still(4)]
    seen, counts = through(frames)
    assert [index for index, _ in seen] == [0, 1, 2, 4]  # 3 is the picture of 2 with its stamp under another number
    assert counts == {"repeated": 2, "disordered": 1}


@pytest.mark.parametrize("leap_ns", [HOUR_NS, -HOUR_NS, CONFIG.clock_leap_ns + 2 * PERIOD_NS, -PERIOD_NS - 1])
def test_a_clock_that_leaps_does_not_move_the_loops_time(leap_ns: int) -> None:
    frames = [still(i, i * PERIOD_NS + (10 * HOUR_NS if i < 3 else 10 * HOUR_NS + leap_ns)) for i in range(6)]
    seen, counts = through(frames)
    assert seen == [(i, 10 * HOUR_NS + i * PERIOD_NS) for i in range(6)]
    assert counts == {"clock_jumps": 1}


def test_a_clock_that_stands_still_is_no_repeated_picture() -> None:
    seen, counts = through([still(i, 7, grey=i) for i in range(4)])
    assert [stamp_ns - 7 for _, stamp_ns in seen] == [i * PERIOD_NS for i in range(4)]
    assert counts == {"clock_jumps": 3}


def test_a_frame_counter_that_leaps_leaves_the_time_alone() -> None:
    seen, counts = through([still(0), still(1), still(10**6, 2 * PERIOD_NS), still(10**6 + 1, 3 * PERIOD_NS)])
    assert [stamp_ns for _, stamp_ns in seen] == [i * PERIOD_NS for i in range(4)]
    assert counts == {}


def test_a_camera_that_counts_anew_goes_on_by_its_clock() -> None:
    frames = [still(i, i * PERIOD_NS) for i in range(100, 104)] + [still(i, (104 + i) * PERIOD_NS) for i in range(3)]
    seen, counts = through([*frames, frames[5], frames[4], still(3, 107 * PERIOD_NS, grey=9)])
    assert seen == [(i, i * PERIOD_NS) for i in range(100, 108)]
    assert counts == {"disordered": 2, "restarts": 1}


def test_a_camera_whose_clock_begins_anew_too_is_followed_after_some_frames() -> None:
    again = [still(i, i * PERIOD_NS, grey=i) for i in range(14)]
    seen, counts = through([*(still(i, i * PERIOD_NS) for i in range(100, 104)), *again])
    assert seen == [(i, i * PERIOD_NS) for i in range(100, 109)]
    assert counts == {"disordered": 9, "restarts": 1, "clock_jumps": 1}


def test_the_pause_of_a_camera_that_starts_anew_is_one_for_the_session_too() -> None:
    """A camera process was killed; when frames came again the object was elsewhere, and its first pose was still told
    as TRACKING, for the sake of scores from before."""
    frames = [still(i, i * PERIOD_NS) for i in range(3)] + [still(i, 2 * HOUR_NS + i * PERIOD_NS) for i in range(2)]
    seen, counts = through(frames)
    passed_ns = [after - before for (_, before), (_, after) in pairwise(seen)]
    assert passed_ns == [PERIOD_NS, PERIOD_NS, CONFIG.clock_leap_ns, PERIOD_NS]
    assert counts == {"restarts": 1, "clock_jumps": 1}


def pauses(frames: list[Frame]) -> list[int]:
    """Places of the frames that come after a pause."""
    gate, found = Gate(), []
    for place, frame in enumerate(frames):
        gate, admitted = admit(gate, frame, CONFIG)
        if admitted is not None and gate.is_after_pause:
            found.append(place)
    return found


def at_s(*times_s: float) -> list[Frame]:
    """Frames of consecutive numbers at these times [s]."""
    return [still(index, round(time_s * 1e9), grey=index) for index, time_s in enumerate(times_s)]


def test_a_pause_is_several_of_the_intervals_that_the_camera_has() -> None:
    by_number = [still(i) for i in (*range(6), 9, 10, 14, 15, 21, 22)]  # 2 and 3 are missing, then 5
    assert pauses(by_number) == [10]
    assert pauses(at_s(0.0, 0.2, 0.4, 0.6, 1.2, 1.4, 2.38)) == [6]  # 5 Hz
    assert pauses(at_s(0.0, 0.01, 0.02, 0.03, 0.11, 0.12, 0.25)) == [6], "0.1 s is no time"
    assert pauses(at_s(0.0, 0.9, 1.8)) == [], "nobody knows yet how fast it is"


def test_a_camera_that_becomes_slower_has_paused_a_few_times_and_then_has_its_new_rate() -> None:
    fast, slow = [i / 30.0 for i in range(10)], [0.3 + 0.2 * i for i in range(1, 12)]
    assert pauses(at_s(*fast, *slow)) == [10, 11, 12]


def test_frames_that_say_nothing_are_a_pause_as_well() -> None:
    frames = [still(i) for i in range(20)]
    for place in range(5, 12):
        frames[place] = replace(frames[place], depth_m=np.zeros_like(frames[place].depth_m))
    assert pauses(frames) == [12]


def test_a_clock_that_leaps_may_hide_a_pause_but_one_that_always_does_says_nothing() -> None:
    assert pauses([still(i, i * PERIOD_NS + (HOUR_NS if i >= 4 else 0)) for i in range(8)]) == [4]
    assert pauses([still(i, 7, grey=i) for i in range(8)]) == []
    again = [still(i, HOUR_NS + i * PERIOD_NS) for i in range(3)] + [still(i, i * PERIOD_NS) for i in range(14)]
    assert pauses(again) == [6]  # its numbers and its clock begin anew
    anew = [still(i) for i in range(6)] + [still(i, (6 + i) * PERIOD_NS) for i in range(6)]
    assert pauses(anew) == [6], "it started anew, however short that took"


def test_late_frames_with_others_between_them_are_no_restart() -> None:
    frames = [still(i) for i in range(40)]
    late = [frame for pair in zip(frames[20:39], frames[:19], strict=True) for frame in pair]
    seen, counts = through([*frames[:20], *late])
    assert [index for index, _ in seen] == list(range(39))
    assert counts == {"disordered": 19}


def test_another_camera_is_noticed() -> None:
    other = K @ np.diag([1.1, 1.1, 1.0])
    _, counts = through([still(0), still(1), still(2, K=other), still(3, K=other), still(4)])
    assert counts == {"camera_changes": 2}


def test_whatever_comes_time_and_numbers_go_forward(rng: np.random.Generator) -> None:
    """1000 frames with numbers and stamps from nowhere: what the state machine insists on holds."""
    stamps = rng.integers(-HOUR_NS, HOUR_NS, 1000)
    numbers = np.arange(1000) + rng.integers(-3, 4, 1000)
    seen, counts = through([still(int(i), int(t), grey=int(i) % 256) for i, t in zip(numbers, stamps, strict=True)])
    steps = np.diff(np.array(seen), axis=0)
    assert counts["restarts"] > 0  # a lower number with a later stamp
    assert (steps > 0).all()
    assert len(seen) + counts["repeated"] + counts["disordered"] == 1000


# With a track -----------------------------------------------------------------------------------------------------


def pictured(staged: Staged, T: np.ndarray, camera: np.ndarray, size_px: tuple[int, int], index: int) -> Frame:
    """The mug before a wall by any camera."""
    seen = render(MeshBuffers.from_mesh(staged.bundle.mesh), T, camera, size_px)
    mask = seen.mask[0] > 0
    v, u = np.mgrid[0 : size_px[0], 0 : size_px[1]]
    wall = 0.45 + 0.1 * np.sin(u / 37.0) * np.cos(v / 23.0)
    colour = np.where(mask[..., None], seen.colour[0], wall[..., None])
    depth = np.where(mask, seen.depth[0], np.float32(TABLE_DEPTH_M)).astype(np.float32)
    rgb = np.round(colour * 255).astype(np.uint8)
    return Frame(rgb=rgb, depth_m=depth, K=camera, index=index, stamp_ns=index * PERIOD_NS)


def moving(staged: Staged, count: int) -> list[np.ndarray]:
    """Poses of the mug that drifts and turns."""
    T = staged.T_cam_centre
    turns = [exp_so3([0.0, 0.02 * i, 0.01 * i]) for i in range(count)]
    return [make_T(R @ T[:3, :3], T[:3, 3] + [0.003 * i, 0.0, 0.0]) for i, R in enumerate(turns)]


def run(
    staged: Staged, frames: list[Frame], T_first: np.ndarray, kind: TrackerKind = TrackerKind.STEPWISE
) -> tuple[list[Track], Session]:
    """The loop over frames, begun at the true pose of the first."""
    group = make_batched_group(None, StormConfig(), device="cpu") if kind is TrackerKind.BATCHED else None
    loop = Session([make_object_session(staged.item, None, shared=SharedParts(group=group))])
    T_cam_obj = T_first @ invert(staged.bundle.T_obj_centre)

    def first(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        return item.start(frame, buffers, T_cam_obj) if frame.index == 0 else None

    results = [loop.step(frame, initialize=first) for frame in frames]
    return [result.tracks[0] for result in results if not result.is_skipped], loop


def test_a_track_is_the_same_whatever_the_clock_and_the_order_do(staged: Staged) -> None:
    poses = moving(staged, 10)
    frames = [pictured(staged, T, K, (480, 640), index) for index, T in enumerate(poses)]
    plain, _ = run(staged, frames, poses[0])
    wild = [replace(f, stamp_ns=f.stamp_ns + (HOUR_NS if 3 <= f.index < 6 else -HOUR_NS)) for f in frames]
    wild = [*wild[:4], wild[3], wild[1], *wild[4:8], wild[6], *wild[8:]]
    tracks, loop = run(staged, wild, poses[0])
    assert [track.frame for track in tracks] == list(range(10))
    doubted = [track.frame for track in tracks if track.state is not TrackState.TRACKING]
    assert doubted == [3, 6], "where the clock leapt nobody knows how much time passed"
    for track, expected in zip(tracks, plain, strict=True):
        np.testing.assert_array_equal(track.T_cam_obj, expected.T_cam_obj)
        assert track.pose_age_ms == 0.0
    assert tracks[4].stamp_ns == wild[3].stamp_ns + PERIOD_NS, "a stamp is reported as the camera gave it"
    assert loop.faults["frames"] == Gate().counts | {"repeated": 1, "disordered": 2, "clock_jumps": 2}


def test_a_track_goes_on_when_the_camera_counts_anew(staged: Staged) -> None:
    poses = moving(staged, 10)
    frames = [pictured(staged, T, K, (480, 640), index) for index, T in enumerate(poses)]
    plain, _ = run(staged, frames, poses[0])
    anew = [*frames[:6], *(replace(frame, index=frame.index - 6) for frame in frames[6:])]
    tracks, loop = run(staged, anew, poses[0])
    assert [track.frame for track in tracks] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3], "as the camera numbers them"
    for track, expected in zip(tracks, plain, strict=True):
        np.testing.assert_array_equal(track.T_cam_obj, expected.T_cam_obj)
        assert track.stamp_ns == expected.stamp_ns
    doubted = [place for place, track in enumerate(tracks) if track.state is not TrackState.TRACKING]
    assert doubted == [6], "a camera that starts anew has paused"
    counts = loop.faults["frames"]
    assert counts == Gate().counts | {"restarts": 1}
    assert describe_frames(counts) == "frames: restarts 1"  # type: ignore[arg-type]
    assert describe_frames(dict.fromkeys(counts, 0)) is None  # type: ignore[call-overload]


ZOOMED = np.array([[741.0, 0.0, 300.0], [0.0, 741.0, 250.0], [0.0, 0.0, 1.0]])
HALF = np.array([[285.0, 0.0, 159.5], [0.0, 285.0, 119.5], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("kind", list(TrackerKind))
@pytest.mark.parametrize(
    ("camera", "size_px", "within_m"), [(ZOOMED, (480, 640), 0.002), (HALF, (240, 320), 0.004)], ids=["zoom", "half"]
)
def test_another_camera_in_mid_run_goes_on_with_the_right_poses(
    staged: Staged, camera: np.ndarray, size_px: tuple[int, int], within_m: float, kind: TrackerKind
) -> None:
    poses = moving(staged, 12)
    frames = [pictured(staged, T, K, (480, 640), index) for index, T in enumerate(poses[:6])]
    frames += [pictured(staged, T, camera, size_px, index) for index, T in enumerate(poses[6:], start=6)]
    tracks, loop = run(staged, frames, poses[0], kind)
    assert {track.state for track in tracks} == {TrackState.TRACKING}
    for track, T in zip(tracks, poses, strict=True):
        assert track.T_cam_obj is not None
        found = track.T_cam_obj @ staged.bundle.T_obj_centre
        assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < within_m
        assert np.rad2deg(rotation_angle(found[:3, :3], T[:3, :3])) < 2.0
    frames_seen = Gate().counts | {"camera_changes": 1}
    assert loop.faults["frames"] == frames_seen


@pytest.mark.parametrize("kind", list(TrackerKind))
def test_lost_with_one_camera_and_found_with_another(staged: Staged, kind: TrackerKind) -> None:
    """The buffers of the search and the frames kept for the catch-up tracker follow the camera, too."""
    T = staged.T_cam_centre
    frames = [pictured(staged, T, K, (480, 640), index) for index in range(2)]
    blank = replace(frames[0], rgb=np.full_like(frames[0].rgb, 115), depth_m=np.full_like(frames[0].depth_m, 0.9))
    frames += [replace(blank, index=index, stamp_ns=index * PERIOD_NS) for index in range(2, 7)]
    frames += [pictured(staged, T, HALF, (240, 320), index) for index in range(7, 45)]
    tracks, _ = run(staged, frames, T, kind)
    states = [track.state for track in tracks]
    assert TrackState.LOST in states[2:7]
    assert states[-1] is TrackState.TRACKING
    assert tracks[-1].T_cam_obj is not None
    found = tracks[-1].T_cam_obj @ staged.bundle.T_obj_centre
    assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < 0.004


def dark(frame: Frame) -> Frame:
    return replace(frame, rgb=np.zeros_like(frame.rgb))


def blind(frame: Frame) -> Frame:
    return replace(frame, depth_m=np.full_like(frame.depth_m, np.nan))


def without_camera(frame: Frame) -> Frame:
    return replace(frame, K=np.full((3, 3), np.nan))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(dark, SkipReason.BLACK), (blind, SkipReason.NO_DEPTH), (without_camera, SkipReason.NO_CAMERA)],
)
@pytest.mark.parametrize("kind", list(TrackerKind))
def test_a_frame_that_says_nothing_is_skipped_and_the_track_goes_on(
    staged: Staged, kind: TrackerKind, spoil: Callable[[Frame], Frame], reason: SkipReason
) -> None:
    poses = moving(staged, 6)
    frames = [pictured(staged, T, K, (480, 640), index) for index, T in enumerate(poses)]
    frames[3] = spoil(frames[3])
    tracks, loop = run(staged, frames, poses[0], kind)
    assert [track.frame for track in tracks] == [0, 1, 2, 4, 5]
    assert {track.state for track in tracks} == {TrackState.TRACKING}
    assert loop.faults["frames"] == Gate().counts | {reason.key: 1}
    again = loop.step(replace(frames[3], index=6, stamp_ns=6 * PERIOD_NS))
    assert (again.tracks, again.skipped_reason) == ([], reason)


def test_one_bright_pixel_or_reading_is_no_empty_frame() -> None:
    """The sample of pixels that is looked at first misses both."""
    rgb, depth_m = np.zeros((40, 40, 3), dtype=np.uint8), np.zeros((40, 40), dtype=np.float32)
    rgb[3, 5], depth_m[5, 3] = 90, 0.5
    frame = Frame(rgb=rgb, depth_m=depth_m, K=K, index=0)
    assert find_fault(frame, CONFIG) is None
    assert find_fault(dark(frame), CONFIG) is SkipReason.BLACK


def test_a_source_that_cannot_make_a_frame_says_so() -> None:
    session = Session()
    assert session.skip(4, SkipReason.UNREADABLE).skipped_reason is SkipReason.UNREADABLE
    assert session.faults["frames"] == Gate().counts | {"unreadable": 1}
