"""Writing a scene: the inverse of reading it, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.models import read_models_info
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.errors import OutputError
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import make_T, random_rotation
from tests.bop.frames import SIZE, K, random_frame


def test_writing_and_reading_are_inverse(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = random_frame(3, rng)
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
            writer.add(random_frame(0, rng))
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
        writer.add(random_frame(0, rng))
        writer.add_model(1, mesh)
    models = BopScene(tmp_path / "s").models_dir
    loaded = trimesh.load(models / "obj_000001.ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices * 1000.0, atol=1e-4)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_allclose(loaded.vertex_normals, mesh.normals, atol=1e-6)
    np.testing.assert_array_equal(loaded.visual.vertex_colors[3], [51, 102, 153, 255])
    info = read_models_info(models / "models_info.json")[1]
    assert info.diameter_m == pytest.approx(np.hypot(0.2, 0.2))
