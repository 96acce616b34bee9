"""Finely divided solids whose print follows from the place on them, so the right colour is known everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from storm_edge.geometry.mesh import Mesh
from storm_edge.objects import retexture
from storm_edge.objects.onboard import MAX_FACES_LOD, onboard
from storm_edge.objects.retexture import reduce_surface
from storm_edge.objects.surface import Surface, baked_colours, clean, from_mesh, to_mesh

SIDE_M = 0.1


def printed_box(divisions: int) -> Surface:
    """A cube with a print of random squares of 1 cm and seams at its edges.

    The side at -x shows the upper half of the texture, all others the lower half.
    """
    grid = np.arange(divisions + 1) / divisions
    vertices, faces, uv = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            across = [k for k in range(3) if k != axis]
            a, b = (values.reshape(-1) for values in np.meshgrid(grid, grid, indexing="ij"))
            points = np.zeros((len(a), 3))
            points[:, axis] = sign * SIDE_M / 2
            points[:, across[0]], points[:, across[1]] = (a - 0.5) * SIDE_M, (b - 0.5) * SIDE_M
            start = sum(map(len, vertices))
            index = start + np.arange(len(a)).reshape(divisions + 1, -1)
            p, q, r, s = (x.reshape(-1) for x in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
            quads = np.concatenate([np.stack([p, q, r], axis=1), np.stack([p, r, s], axis=1)])
            outwards = (sign > 0) == (axis != 1)
            faces.append(quads if outwards else quads[:, ::-1])
            vertices.append(points)
            upper = axis == 0 and sign < 0
            uv.append(np.stack([a, b / 2 + (0.5 if upper else 0.0)], axis=1))
    cells = np.random.default_rng(5).integers(0, 255, (20, 10, 3)).astype(np.uint8)
    texture = np.kron(cells, np.ones((12, 25, 1), dtype=np.uint8))
    count = sum(map(len, vertices))
    return Surface(
        vertices=np.concatenate(vertices),
        faces=np.concatenate(faces),
        colours=np.full((count, 3), 0.5, np.float32),
        uv=np.concatenate(uv),
        texture=texture,
    )


def places(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points on the box, their normals, and coordinates of the print there, all at middles of its squares."""
    rng = np.random.default_rng(2)
    axis, sign = rng.integers(0, 3, count), rng.choice([-1.0, 1.0], count)
    ab = (rng.integers(0, 10, (count, 2)) + 0.5) / 10
    points, normals = np.zeros((count, 3)), np.zeros((count, 3))
    for k in range(count):
        across = [i for i in range(3) if i != axis[k]]
        points[k, axis[k]] = sign[k] * SIDE_M / 2
        points[k, across] = (ab[k] - 0.5) * SIDE_M
        normals[k, axis[k]] = sign[k]
    upper = (axis == 0) & (sign < 0)
    return points, normals, np.stack([ab[:, 0], ab[:, 1] / 2 + np.where(upper, 0.5, 0.0)], axis=1)


def shown_at(surface: Surface, points: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float32]:
    """Colours ``(N, 3)`` of the texture where the surface's triangles hold the points."""
    assert surface.uv is not None
    corner = surface.vertices[surface.faces]
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    face_normal /= np.linalg.norm(face_normal, axis=1, keepdims=True)
    uv = np.zeros((len(points), 2))
    for k, (point, normal) in enumerate(zip(points, normals, strict=True)):
        shares = trimesh.triangles.points_to_barycentric(corner, np.tile(point, (len(corner), 1)))
        off = np.abs(np.einsum("fi,fi->f", point - corner[:, 0], face_normal))
        badness = np.maximum(0.0, -shares.min(axis=1)) + 100.0 * off + (face_normal @ normal < 0.9)
        best = np.argmin(badness)
        uv[k] = shares[best] @ surface.uv[surface.faces[best]]
    return baked_colours(surface, uv)


@pytest.mark.parametrize("max_faces", [24, 300, 4000])
def test_a_print_is_where_it_was_however_few_triangles_are_left(max_faces: int) -> None:
    """It used to be lost above 4,000 faces: each vertex kept the one texel under it."""
    old = clean(printed_box(30), what="box")  # 10,800 faces
    reduced = reduce_surface(old, max_faces)
    assert len(reduced.faces) <= max_faces
    assert reduced.texture is not None
    assert max(reduced.texture.shape) <= 1024
    points, normals, uv = places(200)
    right = np.abs(shown_at(reduced, points, normals) - baked_colours(old, uv)).max(axis=1) < 0.02
    assert right.mean() == 1.0
    low, high = to_mesh(reduced).bounds()
    np.testing.assert_allclose([low, high], [[-SIDE_M / 2] * 3, [SIDE_M / 2] * 3], atol=1e-5)


def test_sides_of_a_thin_wall_keep_their_own_print() -> None:
    """A plate of 0.2 mm, red above and blue below."""
    sheet = trimesh.creation.box((0.1, 0.1, 0.0002)).subdivide_to_size(0.004)
    normals = np.asarray(sheet.face_normals)
    flat = np.asarray(sheet.faces).reshape(-1)
    uv = np.repeat(np.where(normals[:, 2] > 0.5, 0.75, 0.25), 3)
    plate = Surface(
        vertices=np.asarray(sheet.vertices, dtype=np.float64)[flat],
        faces=np.arange(len(flat)).reshape(-1, 3),
        colours=np.full((len(flat), 3), 0.5, np.float32),
        uv=np.stack([np.full(len(flat), 0.5), uv], axis=1),
        texture=np.array([[[255, 0, 0]], [[0, 0, 255]]], dtype=np.uint8),
    )
    reduced = reduce_surface(clean(plate, what="plate"), 200)
    assert reduced.uv is not None
    middle = reduced.uv[reduced.faces].mean(axis=1)
    colours = baked_colours(reduced, middle)
    corner = reduced.vertices[reduced.faces]
    up = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2]
    large = np.abs(up) > 1e-6
    np.testing.assert_array_equal(colours[large & (up > 0)][:, 0], 1.0)
    np.testing.assert_array_equal(colours[large & (up < 0)][:, 2], 1.0)


def test_more_triangles_than_an_image_holds_make_it_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retexture, "MAX_TEXTURE_PX", 128)
    small = reduce_surface(clean(printed_box(30), what="box"), 300).texture
    large = reduce_surface(clean(printed_box(30), what="box"), 4000).texture
    assert small is not None
    assert large is not None
    assert max(small.shape) == 128 < 300 < max(large.shape) < 600


def test_a_surface_without_texture_is_reduced_as_before() -> None:
    old = clean(printed_box(30), what="box")
    plain = Surface(vertices=old.vertices, faces=old.faces, colours=old.colours)
    assert reduce_surface(plain, 300).texture is None
    assert reduce_surface(plain, 20_000) is plain


def write(path: Path, surface: Surface) -> Path:
    assert surface.uv is not None
    assert surface.texture is not None
    Image.fromarray(surface.texture).save(path.with_suffix(".png"))
    path.with_suffix(".mtl").write_text(f"newmtl a\nmap_Kd {path.stem}.png\n")
    lines = [f"mtllib {path.stem}.mtl", "usemtl a"]
    lines += ["v {:.8g} {:.8g} {:.8g}".format(*p) for p in surface.vertices]
    lines += ["vt {:.8g} {:.8g}".format(*t) for t in surface.uv]
    lines += ["f " + " ".join(f"{i}/{i}" for i in face) for face in surface.faces + 1]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("divisions", [30, 50])
def test_both_meshes_of_a_bundle_keep_the_print(tmp_path: Path, divisions: int) -> None:
    """Of 10,800 faces only the coarse mesh is reduced; of 30,000 both are."""
    said: list[str] = []
    old = printed_box(divisions)
    bundle = onboard(write(tmp_path / "box.obj", old), "m", view_subdivisions=0, say=said.append)
    points, normals, uv = places(60)
    assert len(bundle.mesh_lod.faces) <= MAX_FACES_LOD

    def worst(mesh: Mesh) -> float:
        return float(np.abs(shown_at(from_mesh(mesh), points, normals) - baked_colours(old, uv)).max())

    assert worst(bundle.mesh) < 0.02
    assert worst(bundle.mesh_lod) < 0.02
    assert [("its texture was carried over" in note) for note in said] == [True] * (divisions == 50)
