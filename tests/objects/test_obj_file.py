"""OBJ and MTL files are written here by hand: a box, with an image whose texels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storm_edge.objects.mesh_io import load_mesh
from storm_edge.objects.texture_wrap import Wrap, WrapModes
from tests.objects.test_ply_file import PALETTE, colours_of
from tests.objects.test_texture_wrap import sampled
from tests.objects.tiny_glb import box_corners

CORNERS_M, SIDE = box_corners((0.10, 0.06, 0.14))
UV = np.random.default_rng(1).random((36, 2))
PICTURE = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)


def write(path: Path, material: str | None, *, coloured: bool = False, textured: bool = True) -> Path:
    """A box of 12 triangles; ``material`` is the text of its MTL file after ``newmtl``."""
    colours = PALETTE[SIDE] / 255.0
    lines = ["mtllib box.mtl"] if material is not None else []
    for position, colour in zip(CORNERS_M, colours, strict=True):
        numbers = [*position, *colour] if coloured else position
        lines.append("v " + " ".join(f"{number:.7g}" for number in numbers))
    lines += [f"vt {u:.7g} {v:.7g}" for u, v in UV]
    lines.append("usemtl paint of box")
    for first in range(1, 37, 3):
        corners = [f"{k}/{k}" if textured else f"{k}" for k in range(first, first + 3)]
        lines.append("f " + " ".join(corners))
    path.write_text("\n".join(lines) + "\n")
    if material is not None:
        (path.parent / "box.mtl").write_text(f"newmtl paint of box\n{material}\n")
    return path


def test_colours_of_vertices_are_kept_beside_a_material(tmp_path: Path) -> None:
    """They used to become the material's white."""
    said: list[str] = []
    mesh = load_mesh(write(tmp_path / "box.obj", "Kd 1 1 1", coloured=True, textured=False), "m", say=said.append)
    np.testing.assert_array_equal(colours_of(mesh), np.unique(PALETTE, axis=0))
    assert not said
    load_mesh(write(tmp_path / "box.obj", "Kd 1 0.5 0", coloured=True, textured=False), "m", say=said.append)
    assert len(said) == 1
    assert "(Kd)" in said[0]


@pytest.mark.parametrize(
    "line",
    [
        "map_Kd My Picture.png",
        "map_Kd C:\\Users\\me\\Desktop\\My Picture.png",
        "map_Kd /home/me/My Picture.png",
        "map_Kd MY PICTURE.PNG",
        "map_kd -s 1 1 1 -o 0 0 0 My Picture.png",
        "map_Kd -clamp on -bm 1.0 -mm 0 1 -imfchan l My Picture.png",
    ],
)
def test_a_texture_is_found_beside_the_model_by_its_name(tmp_path: Path, line: str) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "My Picture.png")
    said: list[str] = []
    mesh = load_mesh(write(tmp_path / "box.obj", f"Kd 1 1 1\n{line}"), "m", say=said.append)
    assert not said
    assert mesh.texture is not None
    assert mesh.uv is not None
    np.testing.assert_array_equal(mesh.texture, PICTURE)
    np.testing.assert_allclose(mesh.uv[mesh.faces].reshape(-1, 2), UV, atol=1e-6)


def test_faces_without_coordinates_have_the_materials_colour_beside_a_texture(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    path = write(tmp_path / "box.obj", "Kd 1 0 0\nmap_Kd tex.png", coloured=False)
    lines = path.read_text().splitlines()
    lines[-1] = "f 34 35 36"
    path.write_text("\n".join(lines))
    said: list[str] = []
    mesh = load_mesh(path, "m", say=said.append)
    assert mesh.texture is not None
    assert mesh.uv is not None
    assert len(mesh.faces) == 12
    assert said == ["box.obj: its texture image tex.png is not used on faces that have no texture coordinates"]


def test_colours_beside_a_texture_are_told(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    said: list[str] = []
    mesh = load_mesh(write(tmp_path / "box.obj", "map_Kd tex.png", coloured=True), "m", say=said.append)
    assert mesh.texture is not None
    assert len(said) == 1
    assert "the vertices' colours are not" in said[0]


def test_scale_and_offset_of_a_map_move_its_coordinates(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    mesh = load_mesh(write(tmp_path / "box.obj", "map_Kd -s 2 3 -o 0.25 0.5 0 tex.png"), "m")
    assert mesh.uv is not None
    np.testing.assert_allclose(mesh.uv[mesh.faces].reshape(-1, 2), UV * [2, 3] + [0.25, 0.5], atol=1e-6)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_missing_texture_is_told_once_and_leaves_other_colours(tmp_path: Path, coloured: bool) -> None:
    said: list[str] = []
    path = write(tmp_path / "box.obj", "Kd 1 0 0\nmap_Kd gone.png", coloured=coloured)
    mesh = load_mesh(path, "m", say=said.append)
    assert mesh.texture is None
    assert sum("gone.png was not found" in note for note in said) == 1
    expected = np.unique(PALETTE, axis=0) if coloured else [[255, 0, 0]]
    np.testing.assert_array_equal(colours_of(mesh), expected)


def test_a_broken_texture_and_a_missing_material_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "tex.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    said: list[str] = []
    load_mesh(write(tmp_path / "box.obj", "map_Kd tex.png"), "m", say=said.append)
    assert len(said) == 1
    assert "tex.png cannot be read" in said[0]
    (tmp_path / "box.mtl").unlink()
    load_mesh(tmp_path / "box.obj", "m", say=said.append)
    assert len(said) == 2
    assert "box.mtl was not found" in said[1]


def test_polygons_of_an_obj_file_are_cut_with_their_coordinates(tmp_path: Path) -> None:
    """A plate of an L, counted from the end, over several lines: 3600 mm2, coordinates as positions."""
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    outline = [[100, 20], [20, 20], [20, 100], [0, 100], [0, 0], [100, 0]]
    lines = ["mtllib l.mtl", "usemtl a", *(f"v {x} {y} 0" for x, y in outline)]
    lines += [*(f"vt {x / 100} {y / 100}" for x, y in outline), "f -6/-6 -5/-5 -4/-4 \\", "-3/-3 -2/-2 -1/-1"]
    (tmp_path / "l.obj").write_text("\r\n".join(lines))
    (tmp_path / "l.mtl").write_text("newmtl a\r\nmap_Kd tex.png\r\n")
    mesh = load_mesh(tmp_path / "l.obj", "mm")
    corner = mesh.vertices[mesh.faces].astype(np.float64) * 1e3
    assert np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]).sum() / 2 == pytest.approx(3600.0)
    assert mesh.uv is not None
    np.testing.assert_allclose(mesh.uv, mesh.vertices[:, :2] * 10.0, atol=1e-6)


def test_a_hue_of_the_material_tints_its_texture(tmp_path: Path) -> None:
    """Images were shown as they are, so a red part with a grey print was grey."""
    said: list[str] = []
    mesh = load_mesh(write(tmp_path / "box.obj", "Kd 1 0.5 0\nmap_Kd tex.png"), "m", say=said.append)
    assert mesh.texture is None
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    said.clear()
    mesh = load_mesh(tmp_path / "box.obj", "m", say=said.append)
    assert mesh.texture is not None
    np.testing.assert_array_equal(mesh.texture, np.round(PICTURE * [1.0, 0.5, 0.0]))
    assert not said


@pytest.mark.parametrize(("grey", "told"), [("0.64 0.64 0.64", 1), ("0 0 0", 1), ("1 1 1", 0)])
def test_a_grey_beside_a_texture_is_told(tmp_path: Path, grey: str, told: int) -> None:
    """Exporters write a grey, black even, beside every image."""
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    said: list[str] = []
    mesh = load_mesh(write(tmp_path / "box.obj", f"Kd {grey}\nmap_Kd tex.png"), "m", say=said.append)
    assert mesh.texture is not None
    np.testing.assert_array_equal(mesh.texture, PICTURE)
    assert len([note for note in said if "grey (Kd)" in note and "tex.png" in note]) == len(said) == told


@pytest.mark.parametrize("option", ["-clamp on", "-clamp off"])
def test_a_clamped_map_ends_at_its_edge(tmp_path: Path, option: str) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "tex.png")
    mesh = load_mesh(write(tmp_path / "box.obj", f"map_Kd {option} -s 3 3 -o -1 -1 tex.png"), "m")
    mode = Wrap.CLAMP if option.endswith("on") else Wrap.REPEAT
    assert mesh.uv is not None
    assert mesh.texture is not None
    shown = sampled(mesh.texture, mesh.uv[mesh.faces.reshape(-1)].astype(np.float64), WrapModes())
    np.testing.assert_allclose(shown, sampled(PICTURE, 3.0 * UV - 1.0, WrapModes(u=mode, v=mode)), atol=0.05)
