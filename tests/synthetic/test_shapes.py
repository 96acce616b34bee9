"""Shapes: closed, outward, of the size and fineness asked for."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.mesh import diameter
from storm_edge.synthetic.shapes import (
    FAMILIES,
    Surface,
    box,
    make_shape,
    revolve,
    rounded,
    tube,
    union,
    weld,
)


def _is_closed(surface: Surface) -> bool:
    """Every directed edge has exactly one neighbour that runs along it the other way."""
    _, faces = weld(surface)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there, there_count = np.unique(directed, axis=0, return_counts=True)
    back, back_count = np.unique(directed[:, ::-1], axis=0, return_counts=True)
    return np.array_equal(there, back) and np.array_equal(there_count, back_count)


def _volume(surface: Surface) -> float:
    """Volume inside a closed surface, negative when it is inside out (divergence theorem)."""
    a, b, c = (surface[0][surface[1][:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


# name: surface, exact volume, relative error that flat triangles make at this step
PRIMITIVES = {
    "box": (box((1.0, 2.0, 3.0), 0.2), 6.0, 1e-9),
    "ball": (rounded((2.0, 2.0, 2.0), 0.05, 2.0), 4.0 / 3.0 * np.pi, 0.01),
    "can": (revolve(np.array([[1.0, 0.0], [1.0, 2.0]]), 0.06), 2.0 * np.pi, 0.01),
    "cup": (
        revolve(np.array([[1.0, 0.0], [1.0, 1.0], [0.9, 1.0], [0.9, 0.1]]), 0.06),
        np.pi * (1 - 0.81 * 0.9),
        0.01,
    ),
    "capsule": (tube(np.array([[0, 0, 0], [0, 0, 2.0]]), 0.5, 0.04), np.pi * (0.5 + 4 / 3 * 0.125), 0.02),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_are_closed_and_hold_their_volume(name: str) -> None:
    surface, volume, error = PRIMITIVES[name]
    assert _is_closed(surface)
    assert _volume(surface) == pytest.approx(volume, rel=error)


def test_a_tube_keeps_its_radius_around_a_bend() -> None:
    angle = np.linspace(0.0, np.pi, 60)
    vertices, _ = tube(np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1), 0.1, 0.03)
    beside = vertices[vertices[:, 1] > 0.2]  # away from the round ends
    distance = np.hypot(np.hypot(beside[:, 0], beside[:, 1]) - 1.0, beside[:, 2])
    np.testing.assert_allclose(distance, 0.1, atol=0.003)


def test_a_union_keeps_its_parts() -> None:
    a, b = box((1, 1, 1), 0.5), box((2, 2, 2), 0.5)
    vertices, faces = union(a, b)
    assert len(faces) == len(a[1]) + len(b[1])
    assert _volume((vertices, faces)) == pytest.approx(9.0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_family_makes_sound_things(family: str, seed: int) -> None:
    (vertices, faces), named, _ = make_shape(
        np.random.default_rng(seed), face_count=4000, diameter_m=0.2, family=family
    )
    assert named == family
    assert np.isfinite(vertices).all()
    assert _is_closed((vertices, faces))
    assert _volume((vertices, faces)) > 0.0
    assert 1200 < len(faces) < 6000
    np.testing.assert_allclose(vertices.min(axis=0) + vertices.max(axis=0), 0.0, atol=1e-12)
    assert diameter(vertices) == pytest.approx(0.2, rel=0.003)


def test_one_seed_is_one_shape_at_any_fineness() -> None:
    """Proportions are drawn before the surface is cut up: coarse and fine have the same box."""
    sizes = []
    for face_count in (1500, 6000):
        (vertices, _), _, _ = make_shape(
            np.random.default_rng(9), face_count=face_count, diameter_m=0.2, family="bottle"
        )
        sizes.append(np.ptp(vertices, axis=0))
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=0.05)
