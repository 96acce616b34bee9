"""`storm-edge track FILE.mcap`: a recorded loss is replayed as a scene is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.mcap.packed_frame import ColourCoding
from storm_edge.mcap.writer import write_mcap
from tests.cli.conftest import Command
from tests.mcap.frames import packed

pytest.importorskip("rosbags")


def poses(out: Path) -> list[dict[str, object]]:
    """The lines of a run without their times."""
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "latency_ms"} for line in lines]


def test_the_same_poses_come_of_a_scene_and_of_its_lossless_file(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path
) -> None:
    file = write_mcap(tmp_path / "loss.mcap", packed(list(BopScene(scene)), ColourCoding.LOSSLESS), {})
    options = ["--object", thing, "--bundle", "none"]
    for recording, out in ((scene, "of_scene"), (file, "of_file")):
        ended = storm_edge("track", recording, *options, "--out", tmp_path / out)
        assert (ended.status, ended.err) == (0, "")
    assert poses(tmp_path / "of_file") == poses(tmp_path / "of_scene")
    assert json.loads((tmp_path / "of_file" / "summary.json").read_text())["scene"] == "loss.mcap"
    assert (tmp_path / "of_file" / "overlay.webm").stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--init", "gt"], "--init: got gt"),
        (["--init", "mask"], "--init: got mask"),
        (["--labels", "x.json"], "--labels: got x.json"),
        (["--camera", "cam1"], "--camera: got cam1"),
    ],
)
def test_what_a_file_has_not_is_one_line(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    file = write_mcap(tmp_path / "loss.mcap", packed(list(BopScene(scene))), {})
    out = tmp_path / "out"
    ended = storm_edge("track", file, "--object", thing, "--bundle", "none", *options, "--out", out)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert said in ended.err
    assert not out.exists()
