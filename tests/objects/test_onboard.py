"""Onboarded objects are solids whose centre, diameter and symmetries follow from how they were made."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trimesh

from storm_edge.errors import InputError
from storm_edge.geometry.se3 import transform
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.objects.onboard import MAX_FACES_LOD, Symmetries, onboard, symmetry_about

quick_onboard = partial(onboard, view_subdivisions=0)  # 12 views: what they hold is tests/objects/test_viewpoints.py


def write(path: Path, solid: trimesh.Trimesh, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Path:
    solid.apply_translation(offset)
    solid.export(path)
    return path


def test_centre_and_diameter_of_a_box_away_from_the_origin(tmp_path: Path) -> None:
    path = write(tmp_path / "crate.ply", trimesh.creation.box((30.0, 40.0, 120.0)), (100.0, 0.0, -50.0))
    stages: list[str] = []
    bundle = quick_onboard(path, "mm", progress=lambda stage, share: stages.append(stage) if share == 1.0 else None)
    np.testing.assert_allclose(bundle.T_obj_centre[:3, 3], [0.1, 0.0, -0.05], atol=1e-7)
    assert bundle.diameter_m == pytest.approx(0.130)  # 30, 40, 120: the diagonal is 130
    low, high = bundle.mesh.bounds()
    np.testing.assert_allclose(low, -high, atol=1e-8)
    assert bundle.object_id == "crate"
    assert bundle.source.unit == "mm"
    assert len(bundle.source.sha256) == 64
    assert bundle.rotation_grid.shape == (252, 3, 3)
    assert bundle.symmetries.shape == (1, 4, 4)
    assert stages == ["read", "simplify", "viewpoints"]


def test_symmetries_of_the_file_are_moved_into_the_centred_frame(tmp_path: Path) -> None:
    """A box turned by half about the vertical through its middle, which is not the file's origin."""
    path = write(tmp_path / "crate.ply", trimesh.creation.box((0.1, 0.2, 0.3)), (1.0, 0.0, 0.0))
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    half_turn[0, 3] = 2.0  # x -> 2 - x keeps x = 1
    said: list[str] = []
    bundle = quick_onboard(path, "m", symmetries=Symmetries(discrete=(half_turn,)), say=said.append)
    np.testing.assert_allclose(bundle.symmetries[1], np.diag([-1.0, -1.0, 1.0, 1.0]), atol=1e-7)
    assert len(bundle.rotation_grid) == 126
    assert not any("symmetry" in note for note in said)


def test_an_axis_of_revolution_is_moved_too(tmp_path: Path) -> None:
    path = write(tmp_path / "can.ply", trimesh.creation.cylinder(0.05, 0.1), (0.3, 0.4, 0.5))
    axis = ContinuousSymmetry(axis=(0.0, 0.0, 2.0), offset_m=(0.3, 0.4, 0.0))
    bundle = quick_onboard(path, "m", symmetries=Symmetries(continuous=(axis,)))
    assert bundle.symmetries.shape == (72, 4, 4)
    np.testing.assert_allclose(transform(bundle.symmetries, np.zeros((1, 3))), 0.0, atol=1e-7)
    assert len(bundle.rotation_grid) < 60


def test_symmetry_options(tmp_path: Path) -> None:
    path = write(tmp_path / "can.ply", trimesh.creation.cylinder(0.05, 0.1), (0.3, 0.4, 0.5))
    assert quick_onboard(path, "m", symmetries=symmetry_about("z")).symmetries.shape == (72, 4, 4)
    quarter = quick_onboard(path, "m", symmetries=symmetry_about("z:4")).symmetries
    np.testing.assert_allclose(quarter[1, :3, :3] @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(quarter[:, :3, 3], 0.0, atol=1e-12)
    assert quarter.shape == (4, 4, 4)


@pytest.mark.parametrize("text", ["", "w", "z:", "z:1", "z:two", "z:9999"])
def test_unknown_symmetries_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="symmetry"):
        symmetry_about(text)


def test_a_wrong_axis_is_doubted(tmp_path: Path) -> None:
    path = write(tmp_path / "can.ply", trimesh.creation.cylinder(0.02, 0.2))
    said: list[str] = []
    quick_onboard(path, "m", symmetries=symmetry_about("x"), say=said.append)
    assert sum("check the axis" in note for note in said) == 1


def test_a_model_without_colours_is_told_that_finding_it_is_unreliable(tmp_path: Path) -> None:
    plain = trimesh.creation.box((0.1, 0.2, 0.3))
    coloured = trimesh.creation.box((0.1, 0.2, 0.3))
    coloured.visual.vertex_colors = np.tile([[255, 0, 0, 255], [0, 255, 0, 255]], (4, 1))
    uniform = trimesh.creation.box((0.1, 0.2, 0.3))
    uniform.visual.vertex_colors = np.tile([200, 30, 30, 255], (8, 1))
    for solid, suffix, expected in ((plain, "stl", 1), (uniform, "ply", 1), (coloured, "ply", 0)):
        said: list[str] = []
        quick_onboard(write(tmp_path / f"box.{suffix}", solid), "m", say=said.append)
        assert sum("--init auto) is unreliable" in note for note in said) == len(said) == expected


def test_the_coarse_mesh_has_few_faces_and_the_same_shape(tmp_path: Path) -> None:
    path = write(tmp_path / "ball.ply", trimesh.creation.icosphere(subdivisions=4, radius=0.1))  # 5,120 faces
    bundle = quick_onboard(path, "m")
    assert len(bundle.mesh.faces) == 5120
    assert len(bundle.mesh_lod.faces) <= MAX_FACES_LOD
    # Edge collapse keeps the volume, so vertices move out of the sphere; worst seen 0.35 mm.
    np.testing.assert_allclose(np.linalg.norm(bundle.mesh_lod.vertices, axis=1), 0.1, atol=1e-3)
