"""Industrial sets: grey images, TIFF, and files of several cameras side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storm_edge.bop.scene import BopScene
from storm_edge.errors import SceneError
from tests.tiny_scene import write_tiny_scene

PARTS = ("rgb", "depth", "mask", "mask_visib", "scene_camera.json", "scene_gt.json", "scene_gt_info.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_scene(tmp_path / "scene")


def as_tiff(folder: Path) -> None:
    for file in list(folder.iterdir()):
        Image.open(file).save(file.with_suffix(".tif"))
        file.unlink()


def as_grey(path: Path) -> None:
    for file in (path / "rgb").iterdir():
        Image.open(file).convert("L").save(file)
    (path / "rgb").rename(path / "gray")


def name_after(path: Path, camera: str) -> None:
    for name in PARTS:
        part = path / name
        part.rename(part.with_name(f"{part.stem}_{camera}{part.suffix}"))


def test_tiff_is_read_as_png_is(path: Path) -> None:
    before = BopScene(path).frame(1)
    as_tiff(path / "rgb")
    as_tiff(path / "depth")
    after = BopScene(path).frame(1)
    np.testing.assert_array_equal(after.rgb, before.rgb)
    np.testing.assert_array_equal(after.depth_m, before.depth_m)


def test_tiff_of_the_other_byte_order(path: Path) -> None:
    before = BopScene(path).frame(0).depth_m
    file = path / "depth" / "000000.png"
    values = np.asarray(Image.open(file)).astype(">u2")
    Image.frombytes("I;16B", values.shape[::-1], values.tobytes()).save(file.with_suffix(".tiff"))
    file.unlink()
    np.testing.assert_array_equal(BopScene(path).frame(0).depth_m, before)


def test_grey_images_are_three_equal_channels(path: Path) -> None:
    as_grey(path)
    as_tiff(path / "gray")
    rgb = BopScene(path).frame(0).rgb
    assert rgb.shape[2] == 3
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])
    assert len(np.unique(rgb)) > 2


def test_the_only_camera_is_found_and_one_of_several_is_named(path: Path) -> None:
    before = BopScene(path)
    frame, mask, label = before.frame(1), before.mask_visib(1), before.ground_truth(1)[0]
    as_tiff(path / "depth")
    name_after(path, "cam1")
    for scene in (BopScene(path), BopScene(path, camera="cam1")):
        np.testing.assert_array_equal(scene.frame(1).depth_m, frame.depth_m)
        np.testing.assert_array_equal(scene.mask_visib(1), mask)
        np.testing.assert_array_equal(scene.ground_truth(1)[0].T_cam_obj, label.T_cam_obj)
        assert scene.visible_share(1) == 1.0
    for name in ("rgb_cam1", "scene_camera_cam1.json"):
        (path / name.replace("cam1", "photoneo")).symlink_to(path / name)
    with pytest.raises(SceneError, match=r"got cameras cam1, photoneo, expected one .*--camera cam1"):
        BopScene(path)
    assert len(BopScene(path, camera="photoneo")) == 2
    with pytest.raises(SceneError, match="got camera cam7, expected one of cam1, photoneo"):
        BopScene(path, camera="cam7")


def test_what_is_there_instead_is_named(path: Path) -> None:
    (path / "depth" / "000000.png").rename(path / "depth" / "000000.exr")
    with pytest.raises(SceneError, match=r"got 000000\.exr, which is not read, expected a 16-bit PNG or TIFF"):
        BopScene(path).frame(0)
    (path / "rgb").rename(path / "rgb_left")
    with pytest.raises(SceneError, match=r"rgb: got no such folder beside depth, mask, .* and 3 more"):
        BopScene(path)
