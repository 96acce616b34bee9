"""Distances from a plane whose place is known."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.segment_inputs import contract
from storm_edge.kernels.segment_inputs.letterbox import Letterbox
from storm_edge.kernels.segment_inputs.planes import large_planes, larger_planes, plane_distances

K = np.array([[570.0, 0.0, 322.0], [0.0, 575.0, 236.0], [0.0, 0.0, 1.0]])


def plane_depth(size_px: tuple[int, int], K: np.ndarray, normal: np.ndarray, offset_m: float) -> np.ndarray:
    """z-depth [m] of the plane ``normal . p = offset_m``."""
    v, u = np.mgrid[0 : size_px[0], 0 : size_px[1]]
    ray = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(size_px)], axis=2)
    return (offset_m / (ray @ normal)).astype(np.float32)


def test_distance_from_the_plane_is_the_height_above_the_table() -> None:
    K_small = Letterbox.of((480, 640)).intrinsics(K)
    normal = np.array([0.0, 0.6, 0.8])
    z = plane_depth(contract.SIZE_PX, K_small, normal, 0.8)
    z[50:70, 60:90] = plane_depth(contract.SIZE_PX, K_small, normal, 0.74)[50:70, 60:90]
    z[0:5, 0:5] = 0.0
    distance_m = plane_distances(z, K_small, large_planes(z, K_small))
    assert distance_m[60, 75] == pytest.approx(0.06, abs=2e-3)
    assert np.abs(distance_m[80:, :]).max() < 2e-3
    assert (distance_m[0:5, 0:5] == -1.0).all()


def test_a_part_of_an_image_is_told_the_planes_of_the_whole() -> None:
    """A box that fills the part: of its own it would take the box's top for the table."""
    K_small = Letterbox.of((480, 640)).intrinsics(K)
    normal = np.array([0.0, 0.6, 0.8])
    table = plane_depth(contract.SIZE_PX, K_small, normal, 0.8)
    top = (slice(50, 70), slice(60, 90))
    z = table.copy()
    z[top] = plane_depth(contract.SIZE_PX, K_small, normal, 0.74)[top]
    K_part = K_small.copy()
    K_part[:2, 2] -= top[1].start, top[0].start
    planes = large_planes(z, K_small)
    assert len(planes) == 1
    np.testing.assert_allclose(np.abs(planes[0].normal), normal, atol=2e-3)
    part = np.ascontiguousarray(z[top])
    np.testing.assert_allclose(plane_distances(part, K_part, planes), 0.06, atol=2e-3)
    assert plane_distances(part, K_part, large_planes(part, K_part)).max() < 1e-3
    assert (plane_distances(part, K_part, []) == -1.0).all()


def test_no_plane_where_there_is_none(rng: np.random.Generator) -> None:
    z = rng.uniform(0.5, 3.0, contract.SIZE_PX).astype(np.float32)
    assert large_planes(z, np.array([[140.0, 0, 80], [0, 140.0, 60], [0, 0, 1]])) == []


def test_a_plane_that_a_thing_is_larger_than_may_be_its_side() -> None:
    """A wall 1 m away, and 0.3 m away a side of 0.16 by 0.12 m: 0.2 m from corner to corner."""
    K_small = Letterbox.of((480, 640)).intrinsics(K)
    z = np.full(contract.SIZE_PX, 1.0, dtype=np.float32)
    rows, columns = (round(K_small[i, i] * side_m / 0.3) for i, side_m in ((1, 0.12), (0, 0.16)))
    z[30 : 30 + rows, 40 : 40 + columns] = 0.3
    wall, side = large_planes(z, K_small)
    assert wall.extent_m == pytest.approx(np.hypot(*(np.array([160, 120]) / np.diag(K_small)[:2])), rel=0.08)
    assert side.extent_m == pytest.approx(0.2, rel=0.08)
    assert larger_planes([wall, side], 0.15) == [wall, side]
    assert larger_planes([wall, side], 0.25) == [wall]
    assert larger_planes([wall, side], 3.0) == []
