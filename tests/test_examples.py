"""Every program in ``examples/`` runs as its first lines say, and is right about a recording with known truth."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.writer import BopWriter
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from tests.service.conftest import PROFILE
from tests.staged import Staged

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def scene(staged: Staged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The staged mug, standing still for three frames."""
    path = tmp_path_factory.mktemp("examples") / "scene"
    T_cam_obj = staged.T_cam_centre @ invert(staged.bundle.T_obj_centre)
    image = staged.frame()
    with BopWriter(path) as writer:
        writer.add_model(1, staged.mesh)
        writer.add_model(2, staged.mesh)
        for index in range(3):
            frame = Frame(rgb=image.rgb, depth_m=image.depth_m, K=image.K, index=index)
            label = GroundTruth(object_id=1, T_cam_obj=T_cam_obj)
            writer.add(frame, [label], masks=[staged.mask()], masks_visib=[staged.mask()])
    return path


def run(
    name: str, *arguments: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_arrays_of_a_camera_become_tracks(scene, monkeypatch, capsys) -> None:
    lines = run("live_loop.py", scene, scene / "models/obj_000001.ply", monkeypatch=monkeypatch, capsys=capsys)
    assert [line.split()[:2] for line in lines] == [[str(i), "obj_000001"] for i in range(3)]


def test_objects_come_and_go(scene, monkeypatch, capsys) -> None:
    models = [scene / "models/obj_000001.ply", scene / "models/obj_000002.ply"]
    lines = run("several_objects.py", scene, *models, monkeypatch=monkeypatch, capsys=capsys)
    assert [line.count("obj_") for line in lines] == [2, 2, 1]
    assert "obj_000001: TRACKING" in lines[0]
    assert "obj_000001" not in lines[2]


def test_a_driver_of_ones_own_feeds_the_service(scene, tmp_path, monkeypatch, capsys) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(yaml.safe_dump(PROFILE | {"objects": [], "sinks": [{"kind": "json_lines"}]}))
    lines = run("own_driver.py", profile, scene, monkeypatch=monkeypatch, capsys=capsys)
    numbers = [json.loads(line)["frame"] for line in lines]
    assert numbers  # a busy machine passes some of the three over
    assert numbers == sorted(set(numbers))


def test_a_mask_of_ones_own_gives_the_first_pose(scene, monkeypatch, capsys) -> None:
    lines = run("own_segmenter.py", scene, scene / "models/obj_000001.ply", monkeypatch=monkeypatch, capsys=capsys)
    assert [line.split()[1] for line in lines] == ["TRACKING"] * 3


def test_fp16_answers_near_fp32(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("torch")
    recipe = ROOT / "export" / "nano-tom.yaml"
    lines = run("export_and_parity.py", recipe, tmp_path / "out", monkeypatch=monkeypatch, capsys=capsys)
    assert {line.split(".")[0] for line in lines} == {"tom_encode", "tom_compare"}
    assert all(0.0 < float(line.split()[-1]) < 0.1 for line in lines)


def test_poses_are_read(tmp_path, monkeypatch, capsys) -> None:
    poses = tmp_path / "poses.jsonl"
    T = [[[1, 0, 0, 0.1 * i], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]] for i in range(3)]
    states = ["TRACKING", "TRACKING", "LOST"]
    rows = [
        {"object": "mug", "state": s, "T_cam_obj": None if s == "LOST" else t} for s, t in zip(states, T, strict=True)
    ]
    poses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (line,) = run("read_poses.py", poses, monkeypatch=monkeypatch, capsys=capsys)
    assert line == "mug: TRACKING in 2 of 3 frames, moved 0.100 m"


def test_every_example_is_listed_and_tested() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    tested = Path(__file__).read_text()
    for example in EXAMPLES:
        assert f"({example.name})" in listed
        assert f'"{example.name}"' in tested
