"""Every bad input ends in one line that names the thing, exit status 1, and leaves nothing behind.

The scenes are whole except for the one damage of the case. NaN cannot be written into a 16-bit depth image; that it
counts as no reading is tested with `frames.checked_frame`. Here it comes through the JSON files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from tests.cli.conftest import Command, Ended


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    """Every path below ``folder`` with its content."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(ended: Ended, names: str) -> None:
    """One line on stderr that names the thing in all four beats, nothing on stdout."""
    assert ended.status == 1, ended
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: ")
    assert names in ended.err
    for beat in (": got ", ", expected ", "; "):
        assert beat in ended.err


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank_depth(path: Path, keep: int = 0) -> None:
    """A depth image with ``keep`` readings left."""
    depth = np.zeros(np.asarray(Image.open(path)).shape, dtype=np.uint16)
    depth.reshape(-1)[:keep] = 9000
    Image.fromarray(depth).save(path)


def clear_mask(path: Path, keep: int = 0) -> None:
    """A mask with ``keep`` pixels left, taken from the middle of the object."""
    mask = np.asarray(Image.open(path)).copy()
    rows, columns = np.nonzero(mask)
    chosen = np.argsort(np.hypot(rows - rows.mean(), columns - columns.mean()))[:keep]
    mask[:] = 0
    mask[rows[chosen], columns[chosen]] = 255
    Image.fromarray(mask).save(path)


@dataclass(frozen=True)
class Damage:
    """One way to spoil a scene."""

    name: str
    spoil: Callable[[Path], object]
    names: str
    init: str = "mask"


def camera_entry(key: str, value: object) -> Callable[[Path], object]:
    return lambda scene: edit_json(scene / "scene_camera.json", lambda c: c["0"].update({key: value}))


def on_all(folder: str, spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda scene: [spoil(path) for path in sorted((scene / folder).iterdir())]


SCENE_DAMAGES = [
    Damage("no scene folder", shutil.rmtree, "scene: got no such folder"),
    Damage("no colour images", lambda s: shutil.rmtree(s / "rgb"), "scene: got no rgb/, expected rgb/000000.png"),
    Damage("no cameras", lambda s: (s / "scene_camera.json").unlink(), "no scene_camera.json, expected rgb/"),
    Damage("cameras cut short", lambda s: cut_short(s / "scene_camera.json"), "scene_camera.json: got no JSON"),
    Damage("no masks", lambda s: shutil.rmtree(s / "mask_visib"), "mask_visib: got no mask"),
    Damage("no labels", lambda s: (s / "scene_gt.json").unlink(), "no frame with a pose label", init="gt"),
    Damage(
        "mask of another size",
        on_all("mask_visib", lambda path: Image.new("L", (10, 10), 255).save(path)),
        "(10, 10)",
    ),
    Damage("all depth all zero", on_all("depth", blank_depth), "none of 2 frames can be used"),
    Damage("all depth missing", on_all("depth", Path.unlink), "depth/000000.png: got no such file"),
    Damage("all colour cut short", on_all("rgb", cut_short), "rgb/000000.png: got unreadable"),
    Damage("masks empty", on_all("mask_visib", clear_mask), "mask"),
    Damage("masks of 3 pixels", on_all("mask_visib", lambda path: clear_mask(path, keep=3)), "mask"),
    Damage("no depth under the masks", on_all("depth", lambda path: blank_depth(path, keep=5)), "mask"),
    Damage("focal length 0", camera_entry("cam_K", [0, 0, 48, 0, 100, 36, 0, 0, 1]), "focal lengths fx=0"),
    Damage("skew in K", camera_entry("cam_K", [100, 5, 48, 0, 100, 36, 0, 0, 1]), r"skew K[0,1]=5"),
    Damage("NaN in K", camera_entry("cam_K", [float("nan"), 0, 48, 0, 100, 36, 0, 0, 1]), "NaN or infinite"),
    Damage("NaN as depth scale", camera_entry("depth_scale", float("nan")), "depth_scale nan"),
    Damage("depth 100 times too far", camera_entry("depth_scale", 10.0), "object size: got a model of 0.2638 m"),
    Damage("depth 1000 times too far", camera_entry("depth_scale", 100.0), "multiply by the depth scale"),
    Damage(
        "labels in metres",
        lambda s: edit_json(s / "scene_gt.json", lambda g: g["0"][0].update(cam_t_m2c=[0.0, 0.0, 0.0005])),
        "px across",
        init="gt",
    ),
    Damage(
        "label that is no rotation",
        lambda s: edit_json(s / "scene_gt.json", lambda g: g["0"][0].update(cam_R_m2c=[2, 0, 0, 0, 1, 0, 0, 0, 1])),
        "not a rotation",
        init="gt",
    ),
]


@pytest.mark.parametrize("damage", SCENE_DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_scene(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path, damage: Damage
) -> None:
    damage.spoil(scene)
    before = snapshot(tmp_path)
    out = tmp_path / "out"
    ended = storm_edge("track", scene, "--object", thing, "--bundle", networks, "--init", damage.init, "--out", out)
    assert_refused(ended, damage.names)
    assert snapshot(tmp_path) == before


OBJECT_DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", shutil.rmtree, "no such folder"),
    ("without arrays", lambda o: (o / "arrays.npz").unlink(), "arrays.npz"),
    ("arrays cut short", lambda o: cut_short(o / "arrays.npz"), "arrays.npz: got sha256"),
    ("unknown key", lambda o: edit_json(o / "object.json", lambda d: d.update(colour="red")), "colour"),
    ("older schema", lambda o: edit_json(o / "object.json", lambda d: d.update(schema_version=0)), "schema_version"),
]


@pytest.mark.parametrize(("name", "spoil", "names"), OBJECT_DAMAGES, ids=[case[0] for case in OBJECT_DAMAGES])
def test_a_damaged_object(
    storm_edge: Command,
    scene: Path,
    thing: Path,
    networks: Path,
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], object],
    names: str,
) -> None:
    copy = shutil.copytree(thing, tmp_path / "object")
    spoil(copy)
    before = snapshot(tmp_path)
    ended = storm_edge(
        "track", scene, "--object", copy, "--bundle", networks, "--init", "mask", "--out", tmp_path / "out"
    )
    assert_refused(ended, names)
    assert snapshot(tmp_path) == before


BUNDLE_DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", shutil.rmtree, "manifest.json"),
    ("unknown key", lambda b: edit_json(b / "manifest.json", lambda m: m.update(colour="red")), "colour"),
    ("network missing", lambda b: (b / "refine.onnx").unlink(), "refine.onnx"),
    ("network cut short", lambda b: cut_short(b / "refine.onnx"), "refine.onnx"),
]


@pytest.mark.parametrize(("name", "spoil", "names"), BUNDLE_DAMAGES, ids=[case[0] for case in BUNDLE_DAMAGES])
def test_a_damaged_network_bundle(
    storm_edge: Command,
    scene: Path,
    thing: Path,
    networks: Path,
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], object],
    names: str,
) -> None:
    copy = shutil.copytree(networks, tmp_path / "networks")
    spoil(copy)
    before = snapshot(tmp_path)
    ended = storm_edge(
        "track", scene, "--object", thing, "--bundle", copy, "--init", "mask", "--out", tmp_path / "out"
    )
    assert_refused(ended, names)
    assert snapshot(tmp_path) == before


def unwritable(tmp_path: Path) -> Path:
    """A folder nobody can make: its parent is a file. (A permission would not stop root.)"""
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file" / "out"


def test_an_output_folder_that_cannot_be_written(
    storm_edge: Command, scene: Path, model: Path, thing: Path, networks: Path, predictions: Path, tmp_path: Path
) -> None:
    out = unwritable(tmp_path)
    before = snapshot(tmp_path)
    commands: list[list[object]] = [
        ["track", scene, "--object", thing, "--bundle", networks, "--init", "gt", "--out", out],
        ["segment", scene, "--object", thing, "--colour", "--out", out],
        ["eval", "masks", scene, "--scene", scene, "--object", thing, "--out", out],
        ["eval", "poses", predictions, "--scene", scene, "--object", thing, "--out", out],
        ["eval", "tracking", predictions, "--scene", scene, "--object", thing, "--out", out],
        ["onboard", model, "--unit", "mm", "--out", out],
    ]
    for arguments in commands:
        assert_refused(storm_edge(*arguments), str(out))
        assert snapshot(tmp_path) == before


def test_an_output_folder_with_other_files_is_left_alone(
    storm_edge: Command, scene: Path, model: Path, thing: Path, networks: Path, predictions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "photos"
    out.mkdir()
    (out / "one.png").write_bytes(b"")
    before = snapshot(tmp_path)
    commands: list[list[object]] = [
        ["track", scene, "--object", thing, "--bundle", networks, "--init", "mask", "--out", out],
        ["segment", scene, "--object", thing, "--colour", "--out", out],
        ["eval", "masks", scene, "--scene", scene, "--object", thing, "--out", out],
        ["eval", "poses", predictions, "--scene", scene, "--object", thing, "--out", out],
        ["onboard", model, "--unit", "mm", "--out", out],
        ["demo", "--bundle", networks, "--out", out],
    ]
    for arguments in commands:
        assert_refused(storm_edge(*arguments), "photos: got a folder with other files")
        assert snapshot(tmp_path) == before


def test_models_that_are_none(storm_edge: Command, tmp_path: Path) -> None:
    box = trimesh.creation.box((0.1, 0.1, 0.1))
    broken = np.array(box.vertices)
    broken[0] = np.nan
    trimesh.Trimesh(broken, box.faces, process=False).export(tmp_path / "nan.ply")
    trimesh.Trimesh(box.vertices, [[0, 1, 1]], process=False).export(tmp_path / "needle.ply")
    trimesh.PointCloud(box.vertices).export(tmp_path / "cloud.ply")
    (tmp_path / "junk.glb").write_bytes(b"junk")
    (tmp_path / "text.txt").write_text("text")
    before = snapshot(tmp_path)
    for name in ("nan.ply", "needle.ply", "cloud.ply", "junk.glb", "text.txt", "missing.ply"):
        ended = storm_edge("onboard", tmp_path / name, "--unit", "m", "--out", tmp_path / "out")
        assert_refused(ended, name)
        assert snapshot(tmp_path) == before


def test_a_model_in_the_other_unit(storm_edge: Command, model: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    ended = storm_edge("onboard", model, "--unit", "m", "--out", tmp_path / "out")
    assert_refused(ended, "state the unit as mm")
    assert snapshot(tmp_path) == before


def test_a_model_without_a_unit(
    storm_edge: Command, scene: Path, model: Path, networks: Path, tmp_path: Path
) -> None:
    ended = storm_edge(
        "track", scene, "--object", model, "--bundle", networks, "--init", "mask", "--out", tmp_path / "out"
    )
    assert_refused(ended, "--unit mm or --unit m")
    assert not (tmp_path / "out").exists()


def test_objects_that_are_not_there(storm_edge: Command, scene: Path, networks: Path, tmp_path: Path) -> None:
    options: list[object] = ["--unit", "mm", "--bundle", networks, "--out", tmp_path / "out"]
    for name, expected in [("mug.ply", "mug.ply: got no such file"), ("mug", "mug: got no such folder")]:
        assert_refused(storm_edge("track", scene, "--object", tmp_path / name, *options), expected)
    assert not (tmp_path / "out").exists()


def test_options_that_are_wrong(
    storm_edge: Command, scene: Path, model: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    track: list[object] = [
        "track",
        scene,
        "--object",
        thing,
        "--bundle",
        networks,
        "--init",
        "mask",
        "--out",
        tmp_path / "out",
    ]
    assert_refused(storm_edge(*track, "--device", "abacus"), "'abacus'")
    onboard: list[object] = ["onboard", model, "--unit", "mm", "--out", tmp_path / "out"]
    assert_refused(storm_edge(*onboard, "--symmetry", "q"), "symmetry 'q'")
    assert not (tmp_path / "out").exists()


def test_predictions_that_are_none(
    storm_edge: Command, scene: Path, thing: Path, predictions: Path, tmp_path: Path
) -> None:
    options: list[object] = ["--scene", scene, "--object", thing, "--out", tmp_path / "out"]
    good = predictions.read_text()
    for text, names in [("", "no pose"), ("{", "no JSON"), (good.replace('"frame"', '"image"'), "line 1")]:
        predictions.write_text(text)
        assert_refused(storm_edge("eval", "poses", predictions, *options), names)
    predictions.unlink()
    assert_refused(storm_edge("eval", "poses", predictions, *options), "No such file")
    assert not (tmp_path / "out").exists()
