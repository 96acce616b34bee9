"""Ctrl-C and SIGTERM, as a terminal and a service manager send them: to real processes, at moments that are certain.

A run waits where the test wants it: the depth of one frame is a pipe that nobody writes to.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.replay.drawing.run_images import VIDEO
from storm_edge.replay.result_kinds import SEGMENT, TRACK
from tests.result_kinds import everything
from tests.tiny_scene import write_tiny_scene

SIGNALS = pytest.mark.parametrize(
    ("number", "ended_by"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")], ids=["int", "term"]
)
Start = Callable[..., "subprocess.Popen[str]"]


def hang_at(scene: Path, frame: int) -> Path:
    """Make the reading of a frame wait for ever."""
    depth = scene / "depth" / f"{frame:06d}.png"
    depth.unlink()
    os.mkfifo(depth)
    return depth


def until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """Wait for something that the process does."""
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_read(process: subprocess.Popen[str], pipe: Path) -> bool:
    """Whether the process waits in the opening of the pipe: a writer finds its reader then."""
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    os.close(descriptor)
    return True


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "storm_edge", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=600)  # of a busy machine; what hangs never ends
    return process.returncode, out, err


def track(scene: Path, thing: Path, out: Path) -> subprocess.Popen[str]:
    """Runs to the third frame, and waits there."""
    hang_at(scene, 2)
    options = ("--object", thing, "--bundle", "none", "--init", "gt", "--out", out)
    process = start("track", scene, *options)
    until(process, lambda: any(log.read_text().count("\n") == 2 for log in parts(out, "poses.jsonl.part")))
    return process


def parts(out: Path, name: str) -> list[Path]:
    return list(out.parent.glob(f".{out.name}.partial-*/{name}"))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_tiny_scene(tmp_path / "scene", frame_count=3)


@SIGNALS
def test_track_keeps_the_frames_that_were_done(
    scene: Path, thing: Path, tmp_path: Path, number: int, ended_by: str
) -> None:
    out = tmp_path / "out"
    process = track(scene, thing, out)
    process.send_signal(number)
    status, said, told = ended(process)
    assert (status, said) == (128 + number, "")
    assert f"what there is of 2 frames is in {out}" in told
    assert "Traceback" not in told
    assert [json.loads(line)["frame"] for line in (out / "poses.jsonl").read_text().splitlines()] == [0, 1]
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["ended_by"], summary["frame_count"]) == (ended_by, 2)
    assert (out / VIDEO).stat().st_size
    assert sorted(p.name for p in (out / "overlays").iterdir()) == ["000000.png", "000001.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "scene"]


def test_an_older_whole_result_is_not_replaced_by_a_part(scene: Path, thing: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--object", thing, "--bundle", "none", "--init", "gt", "--no-pictures", "--out", out)
    assert ended(start("track", scene, *options))[0] == 0
    before = everything(out)
    process = track(scene, thing, out)
    process.send_signal(signal.SIGINT)
    status, _, told = ended(process)
    assert status == 130
    assert f"is in {out}.partial" in told
    assert everything(out) == before
    assert TRACK.content(tmp_path / "out.partial") is not None


@SIGNALS
def test_where_no_frame_was_done_there_is_no_folder(
    scene: Path, thing: Path, tmp_path: Path, number: int, ended_by: str
) -> None:
    pipe = hang_at(scene, 0)
    process = start("track", scene, "--object", thing, "--bundle", "none", "--init", "gt", "--out", tmp_path / "out")
    until(process, lambda: is_read(process, pipe))
    process.send_signal(number)
    assert ended(process)[0] == 128 + number
    assert [p.name for p in tmp_path.iterdir()] == ["scene"]


@SIGNALS
def test_segment_keeps_the_images_that_were_done(
    scene: Path, thing: Path, tmp_path: Path, number: int, ended_by: str
) -> None:
    out = tmp_path / "out"
    hang_at(scene, 2)
    process = start("segment", scene, "--object", thing, "--colour", "--raw", "--out", out)
    until(process, lambda: bool(parts(out, "overlays/000001.png")))
    process.send_signal(number)
    status, _, told = ended(process)
    assert status == 128 + number
    assert f"what there is of 2 images is in {out}" in told
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["ended_by"], summary["frame_count"]) == (ended_by, 2)
    assert {entry["frame"] for entry in summary["results"]} == {0, 1}
    assert SEGMENT.content(out) is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "scene"]


def test_a_whole_run_says_that_nothing_ended_it(scene: Path, thing: Path, tmp_path: Path) -> None:
    options = ("--object", thing, "--colour", "--raw", "--out", tmp_path / "out")
    assert ended(start("segment", scene, *options))[0] == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ended_by"] is None
    assert len(BopScene(scene)) == 3
