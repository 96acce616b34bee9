from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from storm_edge.data.bop_results import read_bop_csv
from tests.cli.conftest import Command
from tests.tiny_scene import OBJECT_ID, pose


@pytest.mark.parametrize("init", ["mask", "gt"])
def test_a_run_leaves_poses_summary_results_and_pictures(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path, init: str
) -> None:
    out = tmp_path / "out"
    ended = storm_edge("track", scene, "--object", thing, "--init", init, "--bundle", networks, "--out", out)
    assert (ended.status, ended.err) == (0, "")
    assert "obj_000003, 2 frames" in ended.out
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1]
    assert [e.object_id for e in read_bop_csv(out / "bop_results.csv")] == [OBJECT_ID] * 2
    assert json.loads((out / "summary.json").read_text())["bundle"] == "tiny"
    assert sorted(p.name for p in (out / "overlays").iterdir()) == ["000000.png", "000001.png"]
    assert (out / "overlay.mp4").stat().st_size > 0


def test_pictures_can_be_left_out_and_an_older_run_is_replaced(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    options = ["--object", thing, "--init", "gt", "--bundle", networks, "--out", tmp_path / "out"]
    assert storm_edge("track", scene, *options).status == 0
    assert storm_edge("track", scene, *options, "--no-pictures").status == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["bop_results.csv", "poses.jsonl", "summary.json"]


def test_geometry_runs_alone(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    options = ["--object", thing, "--bundle", "none", "--no-pictures", "--out", tmp_path / "out"]
    assert storm_edge("track", scene, *options).status == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["bundle"] == "none"


def test_a_run_that_is_told_to_stop_clears_its_folder(scene: Path, thing: Path, tmp_path: Path) -> None:
    """SIGTERM arrives while frames are read: the depth of the second frame is a pipe that nobody writes to."""
    depth = scene / "depth" / "000001.png"
    depth.unlink()
    os.mkfifo(depth)
    command = [sys.executable, "-m", "storm_edge", "track", str(scene), "--object", str(thing), "--bundle", "none"]
    process = subprocess.Popen([*command, "--init", "gt", "--no-pictures", "--out", str(tmp_path / "out")])
    while not any(log.stat().st_size for log in tmp_path.glob(".out.partial-*/poses.jsonl.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def test_auto_finds_the_object_without_a_mask(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    shutil.rmtree(scene / "mask_visib")
    out = tmp_path / "out"
    options = ["--object", thing, "--init", "auto", "--bundle", "none", "--no-pictures", "--out", out]
    ended = storm_edge("track", scene, *options)
    assert (ended.status, ended.err) == (0, "")
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == ["TRACKING", "TRACKING"]
    assert json.loads((out / "summary.json").read_text())["init"] == "auto"
    for line in lines:
        np.testing.assert_allclose(np.array(line["T_cam_obj"])[:3, 3], pose(line["frame"])[:3, 3], atol=0.005)


def test_auto_needs_a_segmenter(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    options = ["--object", thing, "--init", "auto", "--bundle", networks, "--out", tmp_path / "out"]
    ended = storm_edge("track", scene, *options)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert "som_head" in ended.err
    assert not (tmp_path / "out").exists()
