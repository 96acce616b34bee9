"""Reports of frames, as large as a test wants them."""

from __future__ import annotations

import numpy as np

from storm_edge.live.sinks import FrameReport
from storm_edge.live.track_report import Track, TrackState


def report(index: int, *, object_count: int = 1, state: TrackState = TrackState.TRACKING) -> FrameReport:
    """A report of so many objects, all of one state and with a pose."""
    tracks = tuple(
        Track(
            frame=index,
            stamp_ns=index * 10,
            object_id=f"object_{number}",
            state=state,
            T_cam_obj=np.eye(4),
            confidence=0.9,
            pose_age_ms=1.0,
        )
        for number in range(object_count)
    )
    return FrameReport(frame=index, stamp_ns=index * 10, tracks=tracks)
