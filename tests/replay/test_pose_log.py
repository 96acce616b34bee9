"""The pose log: its keys, and that each line is on disk before the next."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.errors import OutputError
from storm_edge.geometry.se3 import make_T
from storm_edge.live.track_report import Track, TrackState
from storm_edge.replay.pose_log import PoseLog
from storm_edge.replay.summary import write_summary


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


def test_a_line_has_the_keys_that_scripts_rely_on() -> None:
    entry = json.loads(track(3, track_ms=9.1234).line())
    assert entry == {
        "frame": 3,
        "stamp_ns": 3000,
        "object": "mug",
        "state": "TRACKING",
        "T_cam_obj": [[1.0, 0.0, 0.0, 0.1], [0.0, 1.0, 0.0, 0.2], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 1.0]],
        "confidence": 0.9877,
        "ambiguous": None,
        "pose_age_ms": 0.0,
        "latency_ms": {"track_ms": 9.123},
    }
    assert json.loads(track(0, TrackState.LOST, posed=False).line())["T_cam_obj"] is None


def test_every_line_is_on_disk_at_once_and_the_name_comes_last(tmp_path: Path) -> None:
    with PoseLog(tmp_path / "poses.jsonl") as log:
        log.write(track(0))
        assert not (tmp_path / "poses.jsonl").exists()
        assert len((tmp_path / "poses.jsonl.part").read_text().splitlines()) == 1
        log.write(track(1))
    lines = (tmp_path / "poses.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [0, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["poses.jsonl"]


def test_a_run_that_fails_leaves_no_log(tmp_path: Path) -> None:
    def run() -> None:
        with PoseLog(tmp_path / "poses.jsonl") as log:
            log.write(track(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"poses\.jsonl"), PoseLog(tmp_path / "missing" / "poses.jsonl"):
        pass
    with pytest.raises(OutputError, match="not open"):
        PoseLog(tmp_path / "poses.jsonl").write(track(0))
    with pytest.raises(OutputError, match=r"summary.json"):
        write_summary(tmp_path / "missing" / "summary.json", {})
