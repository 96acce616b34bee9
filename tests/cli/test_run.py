"""`storm-edge run` as a process, and what it refuses before it begins."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Command
from tests.live.sources.software_camera import RATE_HZ, SIZE_PX, path_of, record
from tests.service.conftest import LONG_S, PROFILE

SOURCE = {"kind": "recording", "path": "scene", "play": "once"}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(PROFILE | {"source": SOURCE, "objects": []} | changes))
    return path


def start(profile: Path, state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "storm_edge", "run", str(profile)],
        env=os.environ | {"STATE_DIRECTORY": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_recording_is_run_to_its_end(scene: Path, tmp_path: Path) -> None:
    sinks = [{"kind": "json_lines"}, {"kind": "json_lines", "path": "poses.jsonl"}]
    process = start(write(tmp_path, sinks=sinks), tmp_path / "state")
    try:
        out, err = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    assert (process.returncode, err.count("error")) == (0, 0), err
    assert [json.loads(line)["frame"] for line in out.splitlines()] == [0, 1]
    assert (tmp_path / "state" / "poses.jsonl").read_text() == out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_hangup_does_not(scene: Path, tmp_path: Path, number: signal.Signals) -> None:
    profile = write(tmp_path, source=SOURCE | {"play": "again"}, sinks=[{"kind": "json_lines"}])
    process = start(profile, tmp_path)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        while "objects of the profile" not in (line := process.stderr.readline()):
            assert line, "it ended"
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=LONG_S)
        assert "does not come back" not in err  # which is said after 1.8 s
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sorce": SOURCE}, "unknown key 'sorce'"),
        ({"source": SOURCE | {"path": "nowhere"}}, "nowhere: got no such folder"),
        ({"source": {"kind": "external"}}, "got source.kind: external"),
        ({"objects": [{"path": "nothing"}]}, "nothing"),
        ({"objects": [{"path": "scene/models/obj_000003.ply"}]}, "got a model file, expected an object bundle"),
        ({"camera": {"width_px": 640, "height_px": 480, "rate_hz": 30}}, "got 96x72, expected 640x480"),
        ({"cores": 4000}, "cores: got 4000"),
        ({"bundle": "nothing"}, "nothing"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    storm_edge: Command, scene: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    ended = storm_edge("run", write(tmp_path, **changes), "--state", tmp_path)
    assert (ended.status, ended.err.count("\n"), ended.out) == (1, 1, "")
    assert words in ended.err


def test_a_state_folder_that_cannot_be_written_is_one_line(
    storm_edge: Command, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def read_only(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        if str(path).endswith("poses.jsonl"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", read_only)
    profile = write(tmp_path, sinks=[{"kind": "json_lines", "path": "poses.jsonl"}])
    ended = storm_edge("run", profile, "--state", tmp_path)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "poses.jsonl: got Read-only file system" in ended.err


def test_a_profile_of_a_service_is_checked(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("config", "check", write(tmp_path, sinks=[{"kind": "json_lines"}]))
    assert ended.status == 0
    assert "source recording; objects none; sinks json_lines" in ended.out
    ended = storm_edge("config", "check", write(tmp_path, sinks=[{"kind": "json_line"}]))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "sinks.0.kind: 'json_line'" in ended.err


def test_a_camera_that_is_not_there_is_one_line(storm_edge: Command, tmp_path: Path) -> None:
    pytest.importorskip("pyrealsense2", reason="pyrealsense2 does not load here", exc_type=ImportError)
    ended = storm_edge("run", write(tmp_path, source={"kind": "realsense", "serial": "none-such"}))
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1), ended.err
    assert "RealSense none-such: got " in ended.err
    assert "expected that camera; check the cable" in ended.err


def test_a_recording_of_librealsense_is_run_to_its_end(tmp_path: Path) -> None:
    """All of the way of a camera's frames: its process, shared memory, the loop and a sink."""
    pytest.importorskip("pyrealsense2", reason="pyrealsense2 does not load here", exc_type=ImportError)
    path = path_of(tmp_path)
    record(path, frame_count=15)
    height, width = SIZE_PX
    profile = write(
        tmp_path,
        source={"kind": "realsense", "file": path.name},
        camera={"width_px": width, "height_px": height, "rate_hz": RATE_HZ},
        sinks=[{"kind": "json_lines"}],
    )
    process = start(profile, tmp_path / "state")
    try:
        out, err = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    assert (process.returncode, err.count("error")) == (0, 0), err
    numbers = [json.loads(line)["frame"] for line in out.splitlines()]
    assert numbers
    assert numbers == sorted(set(numbers))
