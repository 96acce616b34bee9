"""Mesh values: normals, defaults and the diameter."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.mesh import diameter, make_mesh
from storm_edge.geometry.viewsphere import icosphere


def test_normals_of_a_triangle_point_out() -> None:
    mesh = make_mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(mesh.normals, [[0, 0, 1]] * 3)
    np.testing.assert_allclose(mesh.colours, 128 / 255)


def test_normals_survive_triangles_without_area() -> None:
    mesh = make_mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    assert np.isfinite(mesh.normals).all()


def test_diameter_of_a_box_is_its_diagonal() -> None:
    corners = np.array([[x, y, z] for x in (0, 0.3) for y in (0, 0.4) for z in (0, 1.2)])
    assert diameter(corners) == pytest.approx(1.3)


def test_diameter_of_a_sphere() -> None:
    assert diameter(icosphere(3) * 0.05) == pytest.approx(0.1)


def test_diameter_of_flat_and_tiny_clouds() -> None:
    assert diameter(np.array([[0, 0, 0], [3, 4, 0], [1, 1, 0], [2, 0, 0.0]])) == pytest.approx(5.0)
    assert diameter(np.array([[0, 0, 0], [0, 0, 2.0]])) == pytest.approx(2.0)
