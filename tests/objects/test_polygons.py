"""Polygons are plane figures whose area follows from their corners (shoelace formula)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.objects.polygons import triangulate

L_SHAPE = np.array([[100, 20], [20, 20], [20, 100], [0, 100], [0, 0], [100, 0]], dtype=np.float64)  # 3600
ANGLES = np.arange(10) * np.pi / 5
STAR = np.where(np.arange(10) % 2 == 0, 30.0, 75.0)[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
DART = np.array([[0, 0], [4, -4], [0, 10], [-4, -4]], dtype=np.float64)  # a quad that is not convex
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


def shoelace(flat: NDArray[np.float64]) -> float:
    x, y = flat.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def areas(positions: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a) / 2


@pytest.mark.parametrize("flat", [L_SHAPE, STAR, DART, SQUARE], ids=["L", "star", "dart", "square"])
@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("turned", [False, True])
def test_a_polygon_keeps_its_area_and_winding_wherever_it_begins(
    flat: NDArray[np.float64], first: int, turned: bool
) -> None:
    flat = np.roll(flat, first, axis=0)[:: -1 if turned else 1]
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    solid = np.c_[flat, np.full(len(flat), 7.0)] @ basis
    triangles, owner = triangulate(solid, np.array([len(flat)]))
    area = areas(solid, triangles)
    assert np.linalg.norm(area, axis=1).sum() == pytest.approx(shoelace(flat))
    vector_area = np.cross(solid, np.roll(solid, -1, axis=0)).sum(axis=0) / 2  # Newell: length and winding
    np.testing.assert_allclose(area.sum(axis=0), vector_area, rtol=1e-9, atol=1e-9)
    assert (owner == 0).all()


def test_a_slightly_bent_polygon_is_cut_at_its_ears() -> None:
    bent = np.c_[L_SHAPE, 0.02 * np.arange(6)]
    triangles, _ = triangulate(bent, np.array([6]))
    assert np.linalg.norm(areas(bent, triangles), axis=1).sum() == pytest.approx(3600.0, rel=1e-3)


def test_polygons_of_all_sizes_keep_their_order_and_convex_ones_are_fans() -> None:
    figures = [SQUARE, SQUARE[:3], L_SHAPE, SQUARE[:2], DART]
    positions = np.concatenate([np.c_[figure, np.zeros(len(figure))] for figure in figures])
    triangles, owner = triangulate(positions, np.array([len(figure) for figure in figures]))
    np.testing.assert_array_equal(owner, [0, 0, 1, 2, 2, 2, 2, 4, 4])
    np.testing.assert_array_equal(triangles[:3], [[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    area = np.bincount(owner, np.linalg.norm(areas(positions, triangles), axis=1))
    np.testing.assert_allclose(area, [1.0, 0.5, 3600.0, 0.0, shoelace(DART)])


def test_a_polygon_without_area_is_no_error() -> None:
    line = np.c_[np.arange(5.0), np.zeros((5, 2))]
    assert triangulate(line, np.array([5]))[0].shape == (3, 3)
    assert triangulate(np.zeros((0, 3)), np.zeros(0, np.int64))[0].shape == (0, 3)
