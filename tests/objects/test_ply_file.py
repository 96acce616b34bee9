"""PLY files are written here by hand: a box of six colours, or a prism over a concave polygon."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from storm_edge.errors import MeshError
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.mesh_io import load_mesh
from tests.objects.tiny_glb import box_corners

PALETTE = np.array(
    [[200, 30, 30], [30, 120, 30], [40, 40, 160], [128, 128, 128], [180, 140, 20], [90, 60, 40]], dtype=np.int64
)
CORNERS_M, SIDE = box_corners((0.10, 0.06, 0.14))
TRIANGLES = [[3, *range(first, first + 3)] for first in range(0, 36, 3)]
INDICES = "list uchar int vertex_indices"


def write(
    path: Path,
    vertex: dict[str, NDArray[np.generic]],
    face: list[str],
    faces: list[list[float]],
    comments: tuple[str, ...] = (),
) -> Path:
    """A text PLY; keys of ``vertex`` are ``type name``."""
    head = ["ply", "format ascii 1.0", *(f"comment {text}" for text in comments)]
    head += [f"element vertex {len(next(iter(vertex.values())))}", *(f"property {key}" for key in vertex)]
    head += [f"element face {len(faces)}", *(f"property {text}" for text in face), "end_header"]
    rows = [" ".join(f"{value:.7g}" for value in row) for row in [*zip(*vertex.values(), strict=True), *faces]]
    path.write_text("\n".join(head + rows) + "\n")
    return path


def positions() -> dict[str, NDArray[np.generic]]:
    return {f"float {axis}": CORNERS_M[:, k] for k, axis in enumerate("xyz")}


def colours_of(mesh: Mesh) -> NDArray[np.generic]:
    return np.unique(np.round(mesh.colours * 255.0).astype(int), axis=0)


@pytest.mark.parametrize("names", ["red green blue", "diffuse_red diffuse_green diffuse_blue", "r g b"])
@pytest.mark.parametrize(("kind", "full"), [("uchar", 255), ("ushort", 65535), ("float", 1.0), ("float", 255.0)])
def test_colours_of_vertices_under_every_name_and_type(tmp_path: Path, names: str, kind: str, full: float) -> None:
    values = PALETTE[SIDE] / 255.0 * full
    vertex = positions() | {f"{kind} {name}": values[:, k] for k, name in enumerate(names.split())}
    mesh = load_mesh(write(tmp_path / "box.ply", vertex, [INDICES], TRIANGLES), "m")
    np.testing.assert_array_equal(colours_of(mesh), np.unique(PALETTE, axis=0))


def test_colours_of_faces_do_not_blend_at_shared_vertices(tmp_path: Path) -> None:
    shared, index = np.unique(CORNERS_M, axis=0, return_inverse=True)
    faces = [[3, *index[3 * k : 3 * k + 3], *PALETTE[SIDE[3 * k]]] for k in range(12)]
    vertex = {f"float {axis}": shared[:, k] for k, axis in enumerate("xyz")}
    face = [INDICES, "uchar red", "uchar green", "uchar blue"]
    mesh = load_mesh(write(tmp_path / "box.ply", vertex, face, faces), "m")
    np.testing.assert_array_equal(colours_of(mesh), np.unique(PALETTE, axis=0))
    sides = np.round(mesh.normals).astype(int)
    for axis in range(6):
        normal = np.eye(3)[axis // 2] * (1 if axis % 2 else -1)
        mine = (sides == normal).all(axis=1)
        np.testing.assert_allclose(mesh.colours[mine] * 255.0, np.tile(PALETTE[axis], (mine.sum(), 1)), atol=1e-3)


def test_a_missing_texture_leaves_the_colours_of_the_vertices_and_one_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It used to print a traceback and to drop the colours."""
    vertex = positions() | {f"uchar {name}": PALETTE[SIDE][:, k] for k, name in enumerate(("red", "green", "blue"))}
    vertex |= {"float texture_u": np.zeros(36), "float texture_v": np.zeros(36)}
    path = write(tmp_path / "box.ply", vertex, [INDICES], TRIANGLES, comments=("TextureFile gone.png",))
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        mesh = load_mesh(path, "m", say=said.append)
    np.testing.assert_array_equal(colours_of(mesh), np.unique(PALETTE, axis=0))
    assert len(said) == 1
    assert "gone.png was not found" in said[0]
    assert not caplog.records


@pytest.mark.parametrize("of_corners", [False, True])
def test_a_texture_of_vertices_or_of_corners(tmp_path: Path, of_corners: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "My Picture.png")
    uv = np.random.default_rng(1).random((36, 2))
    vertex, face, faces = positions(), [INDICES], TRIANGLES
    if of_corners:
        face = [INDICES, "list uchar float texcoord"]
        faces = [[*t, 6, *uv[3 * k : 3 * k + 3].reshape(-1)] for k, t in enumerate(TRIANGLES)]
    else:
        vertex |= {"float s": uv[:, 0], "float t": uv[:, 1]}
    path = write(tmp_path / "box.ply", vertex, face, faces, comments=("TextureFile My Picture.png",))
    mesh = load_mesh(path, "m")
    assert mesh.texture is not None
    assert mesh.uv is not None
    np.testing.assert_array_equal(mesh.texture, picture)
    np.testing.assert_allclose(mesh.uv[mesh.faces].reshape(-1, 2), uv, atol=1e-6)


def test_the_only_list_of_faces_holds_their_corners_whatever_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "box.ply", positions(), ["list uchar int corners"], TRIANGLES)
    assert len(load_mesh(path, "m").faces) == 12


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_binary_prism_over_a_concave_polygon(tmp_path: Path, order: str) -> None:
    """Polygons of several sizes in one binary file, of which two are concave: 19,200 mm2 of bracket."""
    outline = np.array([[100, 20], [20, 20], [20, 100], [0, 100], [0, 0], [100, 0]], dtype=np.float64)
    ends = np.concatenate([np.c_[outline, np.full(6, 15.0)], np.c_[outline, np.full(6, -15.0)]])
    polygons = [list(range(6)), list(range(11, 5, -1))] + [[i, 6 + i, 6 + (i + 1) % 6, (i + 1) % 6] for i in range(6)]
    encoding = "binary_little_endian" if order == "<" else "binary_big_endian"
    head = f"ply\nformat {encoding} 1.0\nelement vertex 12\n" + "".join(f"property double {a}\n" for a in "xyz")
    head += "element face 8\nproperty uchar flag\nproperty list uchar int vertex_index\nend_header\n"
    body = ends.astype(order + "f8").tobytes()
    for polygon in polygons:
        body += bytes([1, len(polygon)]) + np.array(polygon).astype(order + "i4").tobytes()
    (tmp_path / "bracket.ply").write_bytes(head.encode() + body)
    mesh = load_mesh(tmp_path / "bracket.ply", "mm")
    corner = mesh.vertices[mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1).sum() / 2
    assert area * 1e6 == pytest.approx(19_200.0, rel=1e-5)
    for cut in (1, 10, 60):
        (tmp_path / "short.ply").write_bytes(head.encode() + body[:-cut])
        with pytest.raises(MeshError, match=r"short\.ply: got an unreadable file"):
            load_mesh(tmp_path / "short.ply", "mm")
