from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.bench.checks import FOUND_AGAIN, LossCounter
from storm_edge.bench.player import Phase, PlayedFrame
from storm_edge.bench.recording import RecordedFrame, Recording
from storm_edge.bench.runner import run_bench
from storm_edge.choices import BenchMode
from storm_edge.errors import InputError
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from tests.bench.plans import plan


def test_a_wrong_pose_is_an_error_however_quick(recording: Recording, box: ObjectBundle) -> None:
    """Labels that are not of these pictures: the tracker follows the object, and so away from the labels."""
    aside = make_T(np.eye(3), [0.08, 0.0, 0.0])
    frames = tuple(
        recorded if i == 0 else replace(recorded, T_cam_obj=aside @ recorded.T_cam_obj)
        for i, recorded in enumerate(recording.frames)
    )
    with pytest.raises(InputError, match=r"of the poses within 0\.1 d"):
        run_bench(replace(recording, frames=frames), box, None, plan(BenchMode.TRACK))


def test_a_track_that_is_not_believed_is_an_error(recording: Recording, box: ObjectBundle) -> None:
    first = recording.frames[0]
    blank = replace(first.frame, rgb=np.zeros_like(first.frame.rgb), depth_m=np.full_like(first.frame.depth_m, 5.0))
    gone = tuple(replace(first, frame=blank) for _ in range(3))
    with pytest.raises(InputError, match="the object followed in"):
        run_bench(replace(recording, frames=(first, *gone)), box, None, plan(BenchMode.TRACK, count=20))


def played(ended_s: float, state: TrackState, *, has_pose: bool, is_timed: bool = True) -> PlayedFrame:
    frame = Frame(rgb=np.zeros((2, 2, 3), np.uint8), depth_m=np.ones((2, 2), np.float32), K=np.eye(3), index=0)
    pose = np.eye(4) if has_pose else None
    track = Track(frame=0, stamp_ns=0, object_id="mug", state=state, T_cam_obj=pose, latency_ms={})
    recorded = RecordedFrame(frame=frame, T_cam_obj=None, mask=None)
    return PlayedFrame(recorded=recorded, frame=frame, track=track, ended_s=ended_s, is_timed=is_timed)


def test_a_loss_lasts_from_the_first_frame_without_a_pose_to_the_first_trusted_one() -> None:
    losses, phase = LossCounter(), Phase(name="recover")
    losses.add(played(0.0, TrackState.TRACKING, has_pose=True, is_timed=False))
    losses.add(played(1.0, TrackState.SEARCHING, has_pose=False))  # no loss: nothing was followed yet
    losses.add(played(2.0, TrackState.TRACKING, has_pose=True))
    losses.add(played(3.0, TrackState.LOST, has_pose=False))
    losses.add(played(4.0, TrackState.SEARCHING, has_pose=False))
    losses.add(played(5.0, TrackState.SUSPECT, has_pose=True))  # there, not trusted
    losses.add(played(6.5, TrackState.TRACKING, has_pose=True))
    assert losses.report(phase) == {"losses": 1, "found again": 1}
    assert phase.samples_ms == {FOUND_AGAIN: [3500.0]}


def test_a_run_without_a_recovery_has_nothing_to_time() -> None:
    losses = LossCounter()
    losses.add(played(1.0, TrackState.TRACKING, has_pose=True))
    losses.add(played(2.0, TrackState.LOST, has_pose=False))
    with pytest.raises(InputError, match="1 losses and none recovered from"):
        losses.report(Phase(name="recover"))
