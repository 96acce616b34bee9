"""Model files are written by trimesh from solids of known size and colour, then read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from storm_edge.choices import LengthUnit
from storm_edge.errors import MeshError, UnitError
from storm_edge.objects.mesh_io import MAX_FACES, load_mesh
from storm_edge.objects.surface import bake_texture, from_mesh
from storm_edge.objects.texture_files import MAX_TEXTURE_PX

SIZE_M = (0.1, 0.2, 0.3)


def coloured_box() -> trimesh.Trimesh:
    box = trimesh.creation.box(SIZE_M)
    box.visual = trimesh.visual.ColorVisuals(box, vertex_colors=np.tile([255, 51, 0, 255], (8, 1)))
    return box


def textured_box(image: Image.Image) -> trimesh.Trimesh:
    box = trimesh.creation.box(SIZE_M)
    uv = box.vertices[:, :2] / np.array(SIZE_M[:2]) + 0.5
    box.visual = trimesh.visual.TextureVisuals(uv=uv, image=image)
    return box


def quadrants(side_px: int = 8) -> Image.Image:
    """Red, green / blue, white."""
    small = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    return Image.fromarray(np.kron(small, np.ones((side_px // 2, side_px // 2, 1), dtype=np.uint8)))


@pytest.mark.parametrize("suffix", ["ply", "obj", "glb", "stl"])
def test_every_format_gives_the_same_box_in_metres(tmp_path: Path, suffix: str) -> None:
    box = coloured_box()
    box.apply_scale(1000.0)
    box.export(tmp_path / f"box.{suffix}")
    mesh = load_mesh(tmp_path / f"box.{suffix}", "mm")
    assert len(mesh.faces) == 12
    np.testing.assert_allclose(mesh.bounds(), np.multiply.outer([-0.5, 0.5], SIZE_M), atol=1e-6)
    expected = (128 / 255,) * 3 if suffix == "stl" else (1.0, 0.2, 0.0)
    np.testing.assert_allclose(mesh.colours, np.tile(expected, (len(mesh.colours), 1)), atol=1 / 255)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["obj", "glb"])
def test_a_texture_is_kept_with_its_coordinates(tmp_path: Path, suffix: str) -> None:
    textured_box(quadrants()).export(tmp_path / f"box.{suffix}")
    mesh = load_mesh(tmp_path / f"box.{suffix}", "m")
    assert mesh.texture is not None
    assert mesh.uv is not None
    np.testing.assert_array_equal(mesh.texture, np.asarray(quadrants()))
    np.testing.assert_allclose(mesh.uv, mesh.vertices[:, :2] / np.array(SIZE_M[:2]) + 0.5, atol=1e-6)


def test_a_large_texture_is_reduced(tmp_path: Path) -> None:
    textured_box(quadrants(2 * MAX_TEXTURE_PX)).export(tmp_path / "box.glb")
    mesh = load_mesh(tmp_path / "box.glb", "m")
    assert mesh.texture is not None
    assert mesh.texture.shape == (MAX_TEXTURE_PX, MAX_TEXTURE_PX, 3)
    np.testing.assert_array_equal(mesh.texture[::1023, ::1023], np.asarray(quadrants(2)))


def test_a_scene_graph_is_flattened_with_its_transforms(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    scene.add_geometry(coloured_box(), transform=trimesh.transformations.translation_matrix([0.5, 0.0, 0.0]))
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = -0.5
    scene.add_geometry(trimesh.creation.icosphere(radius=0.05), transform=mirror)
    scene.export(tmp_path / "scene.glb")
    mesh = load_mesh(tmp_path / "scene.glb", "m")
    low, high = mesh.bounds()
    np.testing.assert_allclose([low[0], high[0]], [-0.55, 0.55], atol=1e-6)
    ball = mesh.vertices[:, 0] < 0.0
    outwards = mesh.vertices[ball] - np.array([-0.5, 0.0, 0.0])
    assert (np.einsum("vi,vi->v", outwards, mesh.normals[ball]) > 0.0).all()


def test_two_textures_share_one_image_and_each_half_keeps_its_texels(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for x, size, colour in [(-0.3, (4, 4), (255, 0, 0)), (0.3, (8, 2), (0, 255, 0))]:
        box = textured_box(Image.new("RGB", size, colour))
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([x, 0.0, 0.0]))
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb", "m")
    assert mesh.texture is not None
    assert mesh.texture.shape == (6, 8, 3)
    colours = bake_texture(from_mesh(mesh)).colours
    left = mesh.vertices[:, 0] < 0.0
    np.testing.assert_array_equal(colours[left], np.tile([1.0, 0.0, 0.0], (24, 1)))
    np.testing.assert_array_equal(colours[~left], np.tile([0.0, 1.0, 0.0], (24, 1)))


def test_texture_and_varied_vertex_colours_become_vertex_colours(tmp_path: Path) -> None:
    varied = trimesh.creation.icosphere(radius=0.05)
    shades = np.linspace(0, 255, len(varied.vertices)).astype(np.uint8)
    varied.visual.vertex_colors = np.stack([shades, shades, shades, np.full_like(shades, 255)], axis=1)
    scene = trimesh.Scene([textured_box(quadrants()), varied])
    scene.export(tmp_path / "mixed.glb")
    said: list[str] = []
    mesh = load_mesh(tmp_path / "mixed.glb", "m", say=said.append)
    assert mesh.texture is None
    assert any("several materials" in note for note in said)


def test_a_huge_model_is_decimated_and_says_so(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=6, radius=0.1)  # 81,920 faces
    ball.visual.vertex_colors = np.tile([255, 0, 0, 255], (len(ball.vertices), 1))
    ball.export(tmp_path / "ball.ply")
    said: list[str] = []
    mesh = load_mesh(tmp_path / "ball.ply", "m", say=said.append)
    assert len(mesh.faces) <= MAX_FACES
    # Edge collapse keeps the volume, so vertices move out of the sphere by half the sagitta; worst seen 0.15 mm.
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.1, atol=3e-4)
    np.testing.assert_allclose(mesh.colours, np.tile([1.0, 0.0, 0.0], (len(mesh.colours), 1)), atol=1e-6)
    assert any("decimated from 81920" in note for note in said)


@pytest.mark.parametrize(("scale", "unit", "other"), [(1.0, "mm", "m"), (1000.0, "m", "mm")])
def test_a_unit_off_by_1000_is_refused_and_names_the_other(
    tmp_path: Path, scale: float, unit: str, other: str
) -> None:
    box = trimesh.creation.box(SIZE_M)
    box.apply_scale(scale)
    box.export(tmp_path / "box.stl")
    with pytest.raises(UnitError, match=rf"box.stl: .* state the unit as {other}, which makes it 0\.3 m"):
        load_mesh(tmp_path / "box.stl", unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["cm", "", 1.0])
def test_a_unit_that_is_none_is_refused_before_the_file_is_read(tmp_path: Path, unit: object) -> None:
    with pytest.raises(UnitError, match=r"unit: got .*, expected 'mm' or 'm'; state the unit"):
        load_mesh(tmp_path / "gone.stl", unit)  # type: ignore[arg-type]


def test_a_unit_may_be_given_by_name_or_enum(tmp_path: Path) -> None:
    trimesh.creation.box(SIZE_M).export(tmp_path / "box.stl")
    by_name, by_enum = (load_mesh(tmp_path / "box.stl", unit) for unit in ("m", LengthUnit.M))
    np.testing.assert_array_equal(by_name.vertices, by_enum.vertices)


def test_a_size_neither_unit_explains_is_kept_with_a_note(tmp_path: Path) -> None:
    trimesh.creation.box((3.5, 0.1, 0.1)).export(tmp_path / "beam.stl")
    said: list[str] = []
    assert load_mesh(tmp_path / "beam.stl", "m", say=said.append).bounds()[1][0] == pytest.approx(1.75)
    assert len(said) == 1


def test_refusals_are_one_line_and_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "junk.ply").write_text("hello")
    (tmp_path / "junk.glb").write_bytes(b"\x00\x01\x02")
    (tmp_path / "junk.obj").write_text("hello")
    (tmp_path / "junk.stl").write_text("hello")
    (tmp_path / "notes.txt").write_text("hello")
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "cloud.ply")
    whole = tmp_path / "whole.ply"
    coloured_box().export(whole)
    (tmp_path / "short.ply").write_bytes(whole.read_bytes()[:-40])
    names = ["junk.ply", "junk.glb", "junk.obj", "junk.stl", "notes.txt", "cloud.ply", "short.ply", "missing.ply"]
    for name in names:
        with pytest.raises(MeshError) as caught:
            load_mesh(tmp_path / name, "m")
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_nan_vertices_are_refused(tmp_path: Path) -> None:
    box = trimesh.creation.box(SIZE_M)
    vertices = np.array(box.vertices)
    vertices[0, 0] = np.nan
    trimesh.Trimesh(vertices, box.faces, process=False).export(tmp_path / "box.ply")
    with pytest.raises(MeshError, match="1 NaN or infinite vertices"):
        load_mesh(tmp_path / "box.ply", "m")


def test_a_broken_text_stl_is_refused_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = str(trimesh.creation.box(SIZE_M).export(file_type="stl_ascii"))
    (tmp_path / "box.stl").write_text(text.replace("normal", "normal x", 1).replace("vertex 0", "vertex zero", 1))
    with pytest.raises(MeshError, match=r"box\.stl"):
        load_mesh(tmp_path / "box.stl", "m")
    assert not caplog.records


@pytest.mark.data
def test_the_real_mug_keeps_its_size(shared_data: Path) -> None:
    mesh = load_mesh(shared_data / "cup" / "models" / "obj_000001.ply", "mm")
    low, high = mesh.bounds()
    np.testing.assert_allclose(high - low, [0.1344, 0.0900, 0.1250], atol=1e-4)
    assert len(mesh.faces) == 19_899
