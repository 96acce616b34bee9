"""BOP scenes: what is written comes back, and every kind of broken folder is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from storm_edge.bop.scene import BopScene, BopWriter, GroundTruth, read_models_info
from storm_edge.errors import CameraError, DepthError, FrameError, OutputError, SceneError, StormEdgeError
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import make_T, random_rotation
from tests.tiny_scene import write_tiny_scene

K = np.array([[600.0, 0.0, 31.5], [0.0, 610.0, 23.5], [0.0, 0.0, 1.0]])
SIZE = (48, 64)


def _frame(index: int, rng: np.random.Generator) -> Frame:
    depth = rng.integers(4000, 20000, SIZE).astype(np.float32) * np.float32(1e-4)
    depth[:5] = 0.0
    return Frame(rgb=rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), depth_m=depth, K=K, index=index)


@pytest.fixture
def scene(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two frames with one label each; the mask exists for image 4 only."""
    path = tmp_path / "scene"
    with BopWriter(path) as writer:
        for index in (2, 4):
            label = GroundTruth(object_id=7, T_cam_obj=make_T(random_rotation(rng), [0.1, -0.2, 0.7]))
            mask = np.zeros(SIZE, dtype=bool)
            mask[10:20, 30:50] = True
            masks = [mask] if index == 4 else []
            writer.add(_frame(index, rng), [label], masks=masks, masks_visib=[m & (m.cumsum(1) < 11) for m in masks])
    return path


def test_writing_and_reading_are_inverse(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = _frame(3, rng)
    label = GroundTruth(object_id=2, T_cam_obj=make_T(random_rotation(rng), [0.01, 0.02, 0.9]))
    with BopWriter(tmp_path / "s", depth_scale=0.1) as writer:
        writer.add(frame, [label])
    scene = BopScene(tmp_path / "s", rate_hz=10.0)
    (read,) = list(scene)
    assert scene.frame_ids == [3]
    assert len(scene) == 1
    np.testing.assert_array_equal(read.rgb, frame.rgb)
    np.testing.assert_allclose(read.depth_m, frame.depth_m, atol=1e-6)  # steps of 0.1 mm hold it exactly
    np.testing.assert_array_equal(read.K, K)
    assert (read.index, read.stamp_ns) == (3, 300_000_000)
    (truth,) = scene.ground_truth(3)
    assert truth.object_id == 2
    np.testing.assert_allclose(truth.T_cam_obj, label.T_cam_obj, atol=1e-12)


def test_masks_and_their_boxes(scene: Path) -> None:
    opened = BopScene(scene)
    assert opened.first_masked_frame() == 4
    assert opened.mask(4).sum() == 200
    assert opened.mask_visib(4).sum() == 100
    info = json.loads((scene / "scene_gt_info.json").read_text())["4"][0]
    assert info == {
        "bbox_obj": [30, 10, 20, 10],
        "bbox_visib": [30, 10, 10, 10],
        "px_count_all": 200,
        "px_count_valid": 200,
        "px_count_visib": 100,
        "visib_fract": 0.5,
    }


def test_depth_scale_is_millimetres_per_step(scene: Path) -> None:
    cameras = json.loads((scene / "scene_camera.json").read_text())
    Image.fromarray(np.full(SIZE, 1234, dtype=np.uint16)).save(scene / "depth" / "000002.png")
    cameras["2"]["depth_scale"] = 0.5
    (scene / "scene_camera.json").write_text(json.dumps(cameras))
    np.testing.assert_allclose(BopScene(scene).frame(2).depth_m, 0.617, rtol=1e-6)


def test_a_failed_writer_leaves_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    def write_half() -> None:
        with BopWriter(tmp_path / "s") as writer:
            writer.add(_frame(0, rng))
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(scene: Path) -> None:
    with pytest.raises(OutputError, match="existing path"), BopWriter(scene):
        pass
    assert len(BopScene(scene)) == 2


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="a folder that can be written"), BopWriter(tmp_path / "file" / "s"):
        pass


def test_models_are_written_in_millimetres(tmp_path: Path, rng: np.random.Generator) -> None:
    mesh = make_mesh(
        np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.2]]),
        np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
        colours=np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.4, 0.6]]),
    )
    with BopWriter(tmp_path / "s") as writer:
        writer.add(_frame(0, rng))
        writer.add_model(1, mesh)
    models = BopScene(tmp_path / "s").models_dir
    loaded = trimesh.load(models / "obj_000001.ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices * 1000.0, atol=1e-4)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_allclose(loaded.vertex_normals, mesh.normals, atol=1e-6)
    np.testing.assert_array_equal(loaded.visual.vertex_colors[3], [51, 102, 153, 255])
    info = read_models_info(models / "models_info.json")[1]
    assert info.diameter_m == pytest.approx(np.hypot(0.2, 0.2))


def test_symmetries_are_read_in_metres(tmp_path: Path) -> None:
    half_turn = [-1, 0, 0, 20, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    entry = {
        "diameter": 100,
        "symmetries_discrete": [half_turn],
        "symmetries_continuous": [{"axis": [0, 0, 1], "offset": [10, 0, 0]}],
    }
    (tmp_path / "models_info.json").write_text(json.dumps({"3": entry}))
    info = read_models_info(tmp_path / "models_info.json")[3]
    assert info.diameter_m == pytest.approx(0.1)
    np.testing.assert_allclose(info.symmetries_discrete[0][:3, 3], [0.02, 0, 0])
    assert info.symmetries_continuous[0].offset_m == pytest.approx((0.01, 0, 0))


@pytest.mark.parametrize(
    "entry", [{}, {"diameter": -1}, {"diameter": 1, "symmetries_discrete": [[1, 2]]}, {"diameter": "x"}, 5]
)
def test_broken_model_info_is_named(tmp_path: Path, entry: object) -> None:
    (tmp_path / "models_info.json").write_text(json.dumps({"3": entry}))
    with pytest.raises(SceneError, match="object 3"):
        read_models_info(tmp_path / "models_info.json")


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
