"""Distances from the large planes in view, a table or a wall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

PLANE_SHARES = (0.15, 0.2)
"""Share of the pixels with depth that a first and a second large plane must hold."""
PLANE_TRIALS = 96
"""Planes through three random points that are tried."""
FIT_POINTS = 800
"""About so many random points tell which of them holds most."""
FIT_ITERATIONS = 2
"""Least-squares fits that follow."""
MIN_POINTS = 100
"""Fewer pixels with depth have no plane."""
TOLERANCE_M, TOLERANCE_PER_M = 0.006, 0.006
"""How far from a plane a reading may lie: this much [m], and this much times the square of its depth [1/m]."""


def plane_distances(z: Float32, K: Float64) -> Float32:
    """Distance from the nearest of up to two large planes (table, wall) [m] ``(H, W)``.

    Args:
        z: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].

    Returns:
        Distances, -1 where there is no reading, and everywhere if no plane is large enough.
    """
    v, u = np.nonzero(z > 0.0)
    out = np.full(z.shape, -1.0, dtype=np.float32)
    if len(v) < MIN_POINTS:
        return out
    depth = z[v, u].astype(np.float64)
    points = np.stack([(u - K[0, 2]) / K[0, 0] * depth, (v - K[1, 2]) / K[1, 1] * depth, depth], axis=1)
    rng = np.random.default_rng(0)
    left = np.ones(len(points), dtype=bool)
    nearest = np.full(len(points), np.inf)
    for least in PLANE_SHARES:
        if left.sum() < least * len(points):
            break
        normal, offset = _largest_plane(points[left], rng)
        distance = np.abs(points @ normal + offset)
        on_plane = left & (distance < _tolerance_m(points[:, 2]))
        if on_plane.sum() < least * len(points):
            break
        nearest = np.minimum(nearest, distance)
        left &= ~on_plane
    if np.isfinite(nearest[0]):
        out[v, u] = nearest
    return out


def _tolerance_m(z: Float64) -> Float64:
    """How far from a plane a reading at depth z [m] may lie: noise of a stereo camera, and some warp."""
    return np.asarray(TOLERANCE_M + TOLERANCE_PER_M * z * z)


def _largest_plane(points: Float64, rng: np.random.Generator) -> tuple[Float64, float]:
    """Unit normal and offset [m] of the plane that holds most of ``points (N, 3)``: random triples, then a fit."""
    few = points[rng.integers(0, len(points), min(len(points), FIT_POINTS))]
    corner = points[rng.integers(0, len(points), (PLANE_TRIALS, 3))]
    normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    distance = np.abs(few @ normals.T - np.einsum("ij,ij->i", normals, corner[:, 0]))
    best = int((distance < _tolerance_m(few[:, 2])[:, None]).sum(axis=0).argmax())
    normal, offset = normals[best], -float(normals[best] @ corner[best, 0])
    for _ in range(FIT_ITERATIONS):
        on_plane = points[np.abs(points @ normal + offset) < _tolerance_m(points[:, 2])]
        if len(on_plane) < 3:
            break
        centre = on_plane.mean(axis=0)
        normal = np.linalg.eigh(np.cov((on_plane - centre).T))[1][:, 0]
        offset = -float(normal @ centre)
    return normal, offset
