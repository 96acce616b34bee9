"""BOP scenes: what is written comes back, and every kind of broken folder is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storm_edge.bop.scene import BopScene
from storm_edge.errors import CameraError, DepthError, FrameError, SceneError, StormEdgeError
from tests.bop.frames import SIZE
from tests.tiny_scene import write_tiny_scene


def _use(scene: Path) -> None:
    """All that a run does with a scene."""
    opened = BopScene(scene)
    for frame_id in opened.frame_ids:
        opened.frame(frame_id)
        opened.ground_truth(frame_id)
    opened.mask_visib(opened.first_masked_frame())


def _edit_json(path: Path, image: str, **changes: object) -> None:
    content = json.loads(path.read_text())
    entry = content[image][0] if isinstance(content[image], list) else content[image]
    entry.update(changes)
    path.write_text(json.dumps(content))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _drop_camera(scene: Path) -> None:
    content = json.loads((scene / "scene_camera.json").read_text())
    del content["4"]
    (scene / "scene_camera.json").write_text(json.dumps(content))


def _save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path)


# what breaks, how, the error, and what its line must name
BROKEN = {
    "no folder": (lambda s: s.rename(s.with_name("gone")), SceneError, "scene: got no such folder"),
    "no rgb folder": (lambda s: (s / "rgb").rename(s / "colour"), SceneError, "rgb"),
    "empty rgb folder": (lambda s: [p.unlink() for p in (s / "rgb").iterdir()], SceneError, "no image"),
    "no cameras": (lambda s: (s / "scene_camera.json").unlink(), SceneError, "scene_camera.json"),
    "cameras not json": (lambda s: (s / "scene_camera.json").write_text("{"), SceneError, "scene_camera.json"),
    "cameras a list": (lambda s: (s / "scene_camera.json").write_text("[]"), SceneError, "scene_camera.json"),
    "no camera of an image": (_drop_camera, SceneError, "image 4"),
    "zero focal length": (
        lambda s: _edit_json(s / "scene_camera.json", "2", cam_K=[0, 0, 1, 0, 1, 1, 0, 0, 1]), CameraError, "fx=0"
    ),
    "K too short": (lambda s: _edit_json(s / "scene_camera.json", "2", cam_K=[1, 2]), CameraError, "image 2"),
    "zero depth scale": (lambda s: _edit_json(s / "scene_camera.json", "2", depth_scale=0), SceneError, "scale"),
    "no depth": (lambda s: (s / "depth" / "000004.png").unlink(), SceneError, "000004.png"),
    "truncated depth": (lambda s: _truncate(s / "depth" / "000004.png"), SceneError, "000004.png"),
    "truncated colour": (lambda s: _truncate(s / "rgb" / "000002.png"), SceneError, "000002.png"),
    "not an image": (lambda s: (s / "rgb" / "000002.png").write_text("hello"), SceneError, "000002.png"),
    "grey colour": (lambda s: _save(s / "rgb" / "000002.png", np.zeros(SIZE, np.uint8)), FrameError, "8-bit RGB"),
    "8-bit depth": (lambda s: _save(s / "depth" / "000002.png", np.ones(SIZE, np.uint8)), FrameError, "16-bit"),
    "depth of another size": (
        lambda s: _save(s / "depth" / "000002.png", np.ones((9, 9), np.uint16)), FrameError, r"\(9, 9\)"
    ),
    "depth all zero": (
        lambda s: _save(s / "depth" / "000002.png", np.zeros(SIZE, np.uint16)), DepthError, "no pixel with a reading"
    ),
    "no labels": (lambda s: (s / "scene_gt.json").unlink(), SceneError, "scene_gt.json"),
    "label without pose": (lambda s: _edit_json(s / "scene_gt.json", "2", cam_R_m2c=None), SceneError, "image 2"),
    "label with a mirrored pose": (
        lambda s: _edit_json(s / "scene_gt.json", "2", cam_R_m2c=[1, 0, 0, 0, 1, 0, 0, 0, -1]), SceneError, "rotation"
    ),
    "labels by name": (lambda s: (s / "scene_gt.json").write_text('{"x": []}'), SceneError, "entry 'x'"),
    "labels of no end": (lambda s: (s / "scene_gt.json").write_text("[" * 99_999), SceneError, "nested too deeply"),
    "an infinite object": (
        lambda s: _edit_json(s / "scene_gt.json", "2", obj_id=float("inf")), SceneError, "image 2"
    ),
    "a huge position": (
        lambda s: _edit_json(s / "scene_gt.json", "2", cam_t_m2c=[10**400] * 3), SceneError, "image 2"
    ),
    "a huge scale": (lambda s: _edit_json(s / "scene_camera.json", "2", depth_scale=10**400), CameraError, "image 2"),
    "a word in K": (
        lambda s: _edit_json(s / "scene_camera.json", "2", cam_K=["y" * 9999] * 9), CameraError, r"yyy\.\.\."
    ),
    "no mask": (lambda s: (s / "mask_visib" / "000004_000000.png").unlink(), SceneError, "mask_visib"),
    "colour mask": (
        lambda s: _save(s / "mask_visib" / "000004_000000.png", np.ones((*SIZE, 3), np.uint8)), FrameError, "grey"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_scenes_end_in_one_line(scene: Path, name: str) -> None:
    spoil, error, names = BROKEN[name]
    _use(scene)  # sound before it is spoiled
    spoil(scene)
    with pytest.raises(error, match=names) as caught:
        _use(scene)
    assert isinstance(caught.value, StormEdgeError)
    assert "\n" not in str(caught.value)


def test_an_unknown_frame_is_named(scene: Path) -> None:
    with pytest.raises(SceneError, match="image 3: got no such id, expected one of 2 ids, 2 to 4"):
        BopScene(scene).frame(3)


@pytest.mark.data
def test_real_recordings_open(shared_data: Path) -> None:
    cup = BopScene(shared_data / "cup", labels="scene_gt_pseudo.json")
    assert len(cup) == 80
    assert cup.frame(0).size_px == (360, 640)
    assert cup.mask_visib(cup.first_masked_frame()).sum() == 6062  # px_count_visib of its own info file
    T = cup.ground_truth(0)[0].T_cam_obj
    assert T[2, 3] == pytest.approx(0.6460526)


def test_the_visible_share_comes_from_the_info_file_or_both_masks(tmp_path: Path) -> None:
    path = write_tiny_scene(tmp_path / "scene", edit_mask=lambda mask: mask & (np.arange(mask.shape[1]) < 48))
    by_file = BopScene(path).visible_share(0)
    assert by_file is not None
    assert 0.3 < by_file < 0.7
    (path / "scene_gt_info.json").unlink()
    assert BopScene(path).visible_share(0) == pytest.approx(by_file)
    (path / "mask" / "000000_000000.png").unlink()
    assert BopScene(path).visible_share(0) is None
    (path / "scene_gt_info.json").write_text('{"0": [{"visib": 1}]}')
    with pytest.raises(SceneError, match=r"scene_gt_info\.json: got KeyError 'visib_fract'"):
        BopScene(path)
