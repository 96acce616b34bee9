"""What is sent of a frame: the same keys and values in every sink, whatever they are packed in.

A pose that is not TRACKING is not to be acted upon, and so is not sent: its state is, with its confidence and age.
The keys are a contract, docs/output-files.md.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from storm_edge.live.sinks import FrameReport
from storm_edge.live.track_report import Track, TrackState

FORMAT = 1  # fixed: the message format's number


def as_message(report: FrameReport) -> dict[str, Any]:
    """A report as JSON types."""
    return {
        "format": FORMAT,
        "frame": report.frame,
        "stamp_ns": report.stamp_ns,
        "skipped": None if report.skipped_reason is None else report.skipped_reason.key,
        "objects": [_of_object(track) for track in report.tracks],
    }


def as_line(report: FrameReport) -> str:
    """The message as one line of JSON, without its end."""
    return json.dumps(as_message(report), allow_nan=False, separators=(",", ":"))


def _of_object(track: Track) -> dict[str, Any]:
    is_sent = track.state is TrackState.TRACKING and track.T_cam_obj is not None
    return {
        "object": track.object_id,
        "state": track.state.value,
        "T_cam_obj": np.asarray(track.T_cam_obj).tolist() if is_sent else None,
        "confidence": round(float(track.confidence), 4),
        "pose_age_ms": None if track.pose_age_ms is None else round(float(track.pose_age_ms), 3),
        "latency_ms": round(track.total_ms, 3),
    }
