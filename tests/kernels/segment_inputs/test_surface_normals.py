"""Normals against those of a plane."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.segment_inputs.surface_normals import surface_normals


def plane_depth(size_px: tuple[int, int], K: np.ndarray, normal: np.ndarray, offset_m: float) -> np.ndarray:
    """z-depth [m] of the plane ``normal . p = offset_m``."""
    v, u = np.mgrid[0 : size_px[0], 0 : size_px[1]]
    ray = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(size_px)], axis=2)
    return (offset_m / (ray @ normal)).astype(np.float32)


def test_normals_of_a_plane_point_to_the_camera() -> None:
    """Worst error seen 0.0005 (x86-64 CPU)."""
    normal = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    z = plane_depth((60, 80), np.array([[70.0, 0, 40], [0, 70.0, 30], [0, 0, 1]]), normal, -0.7)
    assert z.min() > 0.0
    n = surface_normals(z, np.array([[70.0, 0, 40], [0, 70.0, 30], [0, 0, 1]]))
    assert np.abs(n[1:-1, 1:-1] - normal).max() < 2e-3
    assert not n[0].any()


def test_no_normals_across_an_edge_or_a_hole() -> None:
    z = np.full((40, 40), 1.0, dtype=np.float32)
    z[:, 20:] = 1.5
    z[10, 10] = 0.0
    n = surface_normals(z, np.array([[70.0, 0, 20], [0, 70.0, 20], [0, 0, 1]]))
    assert not n[5, 19:21].any()
    assert not n[9:12, 10].any()
    assert n[30, 10] == pytest.approx([0.0, 0.0, -1.0])
