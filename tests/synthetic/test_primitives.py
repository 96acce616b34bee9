"""Primitives: closed, of the volume and radius asked for."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.synthetic.primitives import box, revolve, rounded, tube, union
from tests.synthetic.surfaces import is_closed, volume

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
    surface, exact, error = PRIMITIVES[name]
    assert is_closed(surface)
    assert volume(surface) == pytest.approx(exact, rel=error)


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
    assert volume((vertices, faces)) == pytest.approx(9.0)
