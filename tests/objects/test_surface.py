"""Surfaces are small solids whose area, volume and normals are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from storm_edge.errors import MeshError
from storm_edge.objects.surface import (
    Surface,
    bake_texture,
    clean,
    corner_normals,
    decimate,
    face_outwards,
    from_mesh,
    to_mesh,
)


def as_surface(solid: trimesh.Trimesh, colour: float = 0.5) -> Surface:
    return Surface(
        vertices=np.asarray(solid.vertices, dtype=np.float64),
        faces=np.asarray(solid.faces, dtype=np.int64),
        colours=np.full((len(solid.vertices), 3), colour, dtype=np.float32),
    )


@pytest.fixture
def box() -> Surface:
    return as_surface(trimesh.creation.box((0.1, 0.2, 0.3)))


def with_faces(surface: Surface, faces: list[list[int]]) -> Surface:
    return Surface(
        vertices=surface.vertices,
        faces=np.concatenate([surface.faces, np.array(faces, dtype=np.int64)]),
        colours=surface.colours,
    )


def test_clean_drops_faces_without_area_and_repeats_and_says_so(box: Surface) -> None:
    first = box.faces[0].tolist()
    said: list[str] = []
    cleaned = clean(with_faces(box, [[0, 0, 1], first, first[::-1]]), what="box", say=said.append)
    assert len(cleaned.faces) == 12
    assert len(said) == 2
    assert "1 of 15 faces, which have no area" in said[0]
    assert "2 faces that repeat" in said[1]


def test_clean_makes_equal_vertices_one_and_drops_unused_ones(box: Surface) -> None:
    corner = box.vertices[box.faces.reshape(-1)]
    loose = Surface(
        vertices=np.concatenate([corner, [[9.0, 9.0, 9.0]]]),
        faces=np.arange(36).reshape(-1, 3),
        colours=np.full((37, 3), 0.5, dtype=np.float32),
    )
    cleaned = clean(loose, what="box")
    assert len(cleaned.vertices) == 8
    assert cleaned.vertices.max() <= 0.15


def test_clean_keeps_vertices_apart_that_differ_in_colour(box: Surface) -> None:
    corner = box.vertices[box.faces.reshape(-1)]
    colours = np.repeat(np.linspace(0.0, 1.0, 12, dtype=np.float32), 3)[:, None] * np.ones(3, dtype=np.float32)
    cleaned = clean(Surface(vertices=corner, faces=np.arange(36).reshape(-1, 3), colours=colours), what="box")
    assert len(cleaned.vertices) == 36


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
def test_clean_refuses_vertices_that_are_not_numbers(box: Surface, value: float) -> None:
    box.vertices[3, 1] = value
    with pytest.raises(MeshError, match="1 NaN or infinite vertices"):
        clean(box, what="box.ply")


def test_clean_ignores_nan_in_vertices_no_face_uses(box: Surface) -> None:
    padded = Surface(
        vertices=np.concatenate([box.vertices, np.full((1, 3), np.nan)]),
        faces=box.faces,
        colours=np.full((9, 3), 0.5, dtype=np.float32),
    )
    assert len(clean(padded, what="box").vertices) == 8


def test_clean_refuses_a_surface_without_faces_or_area(box: Surface) -> None:
    empty = Surface(vertices=box.vertices, faces=np.zeros((0, 3), dtype=np.int64), colours=box.colours)
    with pytest.raises(MeshError, match="8 vertices and 0 faces"):
        clean(empty, what="box")
    needles = Surface(vertices=box.vertices, faces=np.array([[0, 1, 1], [2, 2, 2]]), colours=box.colours)
    with pytest.raises(MeshError, match="2 faces, all without area"):
        clean(needles, what="box")


def test_clean_refuses_an_index_out_of_range(box: Surface) -> None:
    with pytest.raises(MeshError, match=r"vertex 8, expected indices 0\.\.7"):
        clean(with_faces(box, [[0, 1, 8]]), what="box")


def test_a_closed_surface_is_turned_outwards_and_an_open_one_left_alone(box: Surface) -> None:
    inside_out = Surface(vertices=box.vertices, faces=box.faces[:, ::-1], colours=box.colours)
    said: list[str] = []
    turned = face_outwards(inside_out, what="box", say=said.append)
    assert trimesh.Trimesh(turned.vertices, turned.faces).volume == pytest.approx(0.1 * 0.2 * 0.3)
    assert len(said) == 1
    open_box = Surface(vertices=box.vertices, faces=box.faces[:-1, ::-1], colours=box.colours)
    assert face_outwards(open_box, what="box") is open_box
    assert face_outwards(box, what="box") is box


def test_a_box_keeps_its_flat_faces(box: Surface) -> None:
    mesh = to_mesh(box)
    assert len(mesh.vertices) == 24  # three per corner
    axis = np.abs(mesh.normals).max(axis=1)
    np.testing.assert_allclose(axis, 1.0, atol=1e-6)
    face_normals = np.cross(
        mesh.vertices[mesh.faces[:, 1]] - mesh.vertices[mesh.faces[:, 0]],
        mesh.vertices[mesh.faces[:, 2]] - mesh.vertices[mesh.faces[:, 0]],
    )
    assert (np.einsum("fi,fci->fc", face_normals, mesh.normals[mesh.faces]) > 0.0).all()


def test_a_sphere_is_smooth_even_where_it_is_split() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    split = Surface(
        vertices=np.asarray(ball.vertices[ball.faces.reshape(-1)]),
        faces=np.arange(3 * len(ball.faces)).reshape(-1, 3),
        colours=np.full((3 * len(ball.faces), 3), 0.5, dtype=np.float32),
    )
    normals = corner_normals(split)
    outwards = split.vertices[split.faces] / 0.1
    assert np.einsum("fci,fci->fc", normals, outwards).min() > np.cos(np.deg2rad(2.0))
    assert len(to_mesh(clean(split, what="ball")).vertices) == len(ball.vertices)


def test_decimation_keeps_shape_and_colour() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.1)  # 20,480 faces
    surface = as_surface(ball)
    upper = surface.vertices[:, 2] > 0.0
    surface.colours[upper] = (1.0, 0.0, 0.0)
    surface.colours[~upper] = (0.0, 0.0, 1.0)
    coarse = decimate(surface, 2000)
    assert len(coarse.faces) <= 2000
    radius = np.linalg.norm(coarse.vertices, axis=1)
    np.testing.assert_allclose(radius, 0.1, atol=1.5e-3)  # worst seen 0.8 mm
    away = np.abs(coarse.vertices[:, 2]) > 0.01
    red = coarse.vertices[:, 2] > 0.0
    np.testing.assert_allclose(coarse.colours[away, 0], red[away].astype(np.float32), atol=1e-6)
    np.testing.assert_allclose(coarse.colours.sum(axis=1), 1.0, atol=1e-6)


def test_decimation_leaves_a_small_surface_alone(box: Surface) -> None:
    assert decimate(box, 12) is box


def test_baked_texture_takes_the_texel_under_each_vertex() -> None:
    texture = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    surface = Surface(
        vertices=np.eye(3),
        faces=np.array([[0, 1, 2]]),
        colours=np.zeros((3, 3), dtype=np.float32),
        uv=np.array([[0.25, 0.75], [0.75, 0.75], [-0.75, 0.0]]),  # the last one wraps to u = 0.25
        texture=texture,
    )
    baked = bake_texture(surface)
    assert baked.uv is None
    assert baked.texture is None
    np.testing.assert_array_equal(baked.colours, [[1, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_a_mesh_and_its_surface_hold_the_same_triangles(box: Surface) -> None:
    again = to_mesh(from_mesh(to_mesh(box)))
    np.testing.assert_allclose(again.bounds(), [[-0.05, -0.1, -0.15], [0.05, 0.1, 0.15]], atol=1e-7)
    assert len(again.vertices) == 24
