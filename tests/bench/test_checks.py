from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.bench.recording import Recording
from storm_edge.bench.runner import run_bench
from storm_edge.choices import BenchMode
from storm_edge.errors import InputError
from storm_edge.geometry.se3 import make_T
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
