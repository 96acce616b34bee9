from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from storm_edge.errors import OutputError
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.json_lines import JsonLinesFile, JsonLinesStream
from storm_edge.live.sinks.message import as_message
from storm_edge.live.track_report import Track, TrackState


def track(state: TrackState) -> Track:
    has_pose = state in (TrackState.TRACKING, TrackState.SUSPECT)
    return Track(
        frame=4,
        stamp_ns=40,
        object_id="mug",
        state=state,
        T_cam_obj=np.eye(4) if has_pose else None,
        confidence=0.75 if has_pose else 0.0,
        pose_age_ms=1.5 if has_pose else None,
        latency_ms={"track": 2.0, "total": 2.0},
    )


def report(number: int) -> FrameReport:
    return FrameReport(frame=number, stamp_ns=number, tracks=(track(TrackState.TRACKING),))


def lines(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("state", list(TrackState))
def test_only_what_is_tracking_is_sent_as_a_pose(state: TrackState) -> None:
    (item,) = as_message(FrameReport(frame=4, stamp_ns=40, tracks=(track(state),)))["objects"]
    assert (item["T_cam_obj"] is not None) == (state is TrackState.TRACKING)
    assert item["state"] == state.value
    assert item["pose_age_ms"] == (1.5 if state in (TrackState.TRACKING, TrackState.SUSPECT) else None)
    assert item["latency_ms"] == 2.0


def test_a_skipped_frame_says_why() -> None:
    stream = io.StringIO()
    JsonLinesStream(stream).send(FrameReport(frame=7, stamp_ns=9, skipped_reason=SkipReason.NO_DEPTH))
    expected = {"format": 1, "frame": 7, "stamp_ns": 9, "skipped": "no_depth", "objects": []}
    assert json.loads(stream.getvalue()) == expected


def test_a_stream_that_was_closed_is_one_line() -> None:
    stream = io.StringIO()
    sink = JsonLinesStream(stream)
    stream.close()
    with pytest.raises(OutputError, match="json lines to stdout: got I/O operation on closed file"):
        sink.send(report(0))


def test_a_file_is_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "state" / "poses.jsonl"
    size = len(json.dumps(as_message(report(10)), separators=(",", ":"))) + 1
    sink = JsonLinesFile(path, most_bytes=2 * size, kept=2)
    for number in range(10, 19):
        sink.send(report(number))
    sink.close()
    sink.close()
    assert [lines(path.with_name(name)) for name in ("poses.jsonl", "poses.jsonl.1", "poses.jsonl.2")] == [
        [18],
        [16, 17],
        [14, 15],
    ]
    assert len(list(path.parent.iterdir())) == 3


def test_a_file_is_appended_to_and_a_torn_line_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "poses.jsonl"
    path.write_text('{"frame": 1}\n{"fra')
    sink = JsonLinesFile(path, most_bytes=2**20, kept=0)
    sink.send(report(2))
    sink.close()
    first, torn, last = path.read_text().splitlines()
    assert (first, torn) == ('{"frame": 1}', '{"fra')
    assert json.loads(last)["frame"] == 2


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "poses.jsonl"
    sink = JsonLinesFile(path, most_bytes=2**20, kept=1)
    sink.send(report(1))
    real = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 20:
            return real(file, data[:20])  # a part fits
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", lambda file, data: full(file, data[:40]))
    with pytest.raises(OSError, match="No space left"):
        sink.send(report(2))
    monkeypatch.undo()
    sink.send(report(3))
    sink.close()
    assert lines(path) == [1, 3]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"poses.jsonl: got (Not a directory|File exists), expected a file"):
        JsonLinesFile(tmp_path / "file" / "poses.jsonl", most_bytes=100, kept=1)
