"""Slots hold what was put into them, splits share nothing, and a bad folder of models is told in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.choices import LengthUnit
from storm_edge.errors import MeshError
from storm_edge.generator import mesh_pool
from storm_edge.generator.config import GeneratorConfig, PoolConfig
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.synthetic.splits import EVALUATION_FROM

TINY = PoolConfig(objects=4, props=2, furniture=1, face_count=(300, 500))


def test_a_slot_holds_its_mesh(small_config: GeneratorConfig) -> None:
    pool = MeshPool(3, config=TINY)
    for slot in range(7):
        mesh = pool.mesh(slot)
        count, faces = int(pool.vertex_count[slot]), int(pool.face_count[slot])
        np.testing.assert_array_equal(pool.vertices[slot, :count].numpy(), mesh.vertices)
        np.testing.assert_array_equal(pool.normals[slot, :count].numpy(), mesh.normals)
        np.testing.assert_array_equal(pool.colours[slot, :count].numpy(), mesh.colours)
        np.testing.assert_array_equal(pool.faces[slot, :faces].numpy(), mesh.faces)
    assert pool.kinds[4:] == ["prop"] * 3


def test_the_oldest_objects_are_exchanged(small_config: GeneratorConfig) -> None:
    pool = MeshPool(3, config=TINY)
    before = pool.version.copy()
    pool.renew(2)
    assert (pool.version - before)[:4].tolist() == [1, 1, 0, 0]
    pool.renew_for(int(TINY.items_per_object * 1.5))
    assert (pool.version - before)[:4].tolist() == [1, 1, 1, 0]
    assert len(pool.meshes) == 7


def test_resting_objects_touch_the_plane(small_config: GeneratorConfig) -> None:
    pool = MeshPool(4, config=TINY)
    for slot in range(4):
        vertices = torch.from_numpy(pool.mesh(slot).vertices)
        for R, height_m in zip(pool.rest[slot], pool.rest_height_m[slot], strict=True):
            torch.testing.assert_close(R @ R.T, torch.eye(3), atol=1e-5, rtol=0.0)
            lowest = (vertices @ R.T)[:, 2].min()
            assert float(lowest + height_m) == pytest.approx(0.0, abs=1e-5)


def test_training_and_evaluation_draw_from_other_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[range] = []
    draw = mesh_pool.draw_object

    def watched(rng: np.random.Generator, seeds: range, *rest: object) -> object:
        seen.append(seeds)
        return draw(rng, seeds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(mesh_pool, "draw_object", watched)
    few = replace(TINY, objects=1, props=0, furniture=0)
    MeshPool(3, config=few)
    MeshPool(EVALUATION_FROM + 3, config=few)
    train, held_out = seen[0], seen[-1]
    assert train.stop <= EVALUATION_FROM <= held_out.start


def _ply(path: Path, faces: str) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 4\nproperty list uchar int vertex_indices\nend_header\n"
    path.write_text(header + "0 0 0\n0.1 0 0\n0 0.08 0\n0 0 0.05\n" + faces)


def test_models_of_a_folder_are_drawn(tmp_path: Path) -> None:
    _ply(tmp_path / "wedge.ply", "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n")
    config = replace(TINY, folder=tmp_path, folder_unit=LengthUnit.M, folder_share=1.0, props=0, furniture=0)
    pool = MeshPool(3, config=config)
    assert pool.kinds == ["read"] * 4
    assert float(pool.diameter_m[0]) == pytest.approx(np.hypot(0.1, 0.08), rel=1e-3)


def test_a_bad_folder_is_told_in_one_line(tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises(MeshError) as raised:
            MeshPool(3, config=replace(TINY, folder=folder, folder_unit=LengthUnit.M))
        return str(raised.value)

    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    _ply(broken / "broken.ply", "3 0 2 1\n")
    for text in (message(tmp_path / "none"), message(empty), message(broken)):
        assert "\n" not in text
    assert "without models" in message(empty)
    assert "broken.ply" in message(broken)
