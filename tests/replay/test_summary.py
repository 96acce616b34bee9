"""The summary of a run: states, stages and versions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from storm_edge.environment import versions
from storm_edge.geometry.se3 import make_T
from storm_edge.live.track_report import Track, TrackState
from storm_edge.percentiles import percentiles
from storm_edge.replay.summary import summarise, write_summary


def track(frame: int, state: TrackState = TrackState.TRACKING, *, posed: bool = True, **latency_ms: float) -> Track:
    return Track(
        frame=frame,
        stamp_ns=frame * 1000,
        object_id="mug",
        state=state,
        T_cam_obj=make_T(np.eye(3), [0.1, 0.2, 0.5]) if posed else None,
        confidence=0.98765,
        pose_age_ms=0.0 if posed else None,
        latency_ms=latency_ms,
    )


def test_percentiles_of_one_to_a_hundred() -> None:
    """Linear interpolation between 101 values 0..100: the q-th percentile is q."""
    assert percentiles(list(range(101))) == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0, "count": 101}
    assert percentiles([]) == {}


def test_summary_counts_states_and_stages(tmp_path: Path) -> None:
    tracks = [
        track(0, TrackState.REGISTERING, register=900.0),
        track(1, track=8.0),
        track(2, track=10.0),
        track(3, TrackState.LOST, posed=False, track=30.0),
    ]
    summary = summarise(tracks, bundle="nano", device="cpu", scene="cup")
    assert summary["states"] == {"SEARCHING": 0, "REGISTERING": 1, "TRACKING": 2, "SUSPECT": 0, "LOST": 1}
    assert (summary["frame_count"], summary["pose_count"], summary["objects"]) == (4, 3, ["mug"])
    assert summary["latency_ms"]["track"]["p50"] == 10.0
    assert summary["latency_ms"]["register"]["count"] == 1
    assert (summary["bundle"], summary["device"], summary["scene"]) == ("nano", "cpu", "cup")
    write_summary(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_versions_name_what_decides_speed() -> None:
    assert {"storm-edge", "python", "numpy", "warp-lang", "onnxruntime"} <= versions().keys()
