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
"""How far from a plane a reading may lie: this much [m], and this much times the square of its depth [1/m], for the
noise of a stereo camera and some warp."""


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
    points = np.stack([(u - K[0, 2]) / K[0, 0] * depth, (v - K[1, 2]) / K[1, 1] * depth, depth])
    tolerance_m = TOLERANCE_M + TOLERANCE_PER_M * depth * depth
    rng = np.random.default_rng(0)
    left = np.arange(len(depth))
    nearest = np.full(len(depth), np.inf)
    for least in PLANE_SHARES:
        if len(left) < least * len(depth):
            break
        normal, offset = _largest_plane(points[:, left], tolerance_m[left], rng)
        distance = np.abs(normal @ points + offset)
        off_plane = distance[left] >= tolerance_m[left]
        if len(left) - np.count_nonzero(off_plane) < least * len(depth):
            break
        nearest = np.minimum(nearest, distance)
        left = left[off_plane]
    if np.isfinite(nearest[0]):
        out[v, u] = nearest
    return out


def _largest_plane(points: Float64, tolerance_m: Float64, rng: np.random.Generator) -> tuple[Float64, float]:
    """Unit normal and offset [m] of the plane that holds most of ``points (3, N)``: random triples, then a fit.

    ``tolerance_m (N,)`` is how far from it each may lie. Points are columns, which NumPy picks and
    multiplies faster: a search asks for the planes of ten frames.
    """
    count = points.shape[1]
    some = rng.integers(0, count, min(count, FIT_POINTS))
    corner = points[:, rng.integers(0, count, (PLANE_TRIALS, 3))]
    normals = np.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0], axis=0).T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    offsets = -np.einsum("ti,it->t", normals, corner[:, :, 0])
    near = np.abs(normals @ points[:, some] + offsets[:, None]) < tolerance_m[some]
    best = int(np.count_nonzero(near, axis=1).argmax())
    normal, offset = normals[best], float(offsets[best])
    for _ in range(FIT_ITERATIONS):
        on_plane = points[:, np.flatnonzero(np.abs(normal @ points + offset) < tolerance_m)]
        if on_plane.shape[1] < 3:
            break
        centre = on_plane.mean(axis=1)
        apart = on_plane - centre[:, None]
        normal = np.linalg.eigh(apart @ apart.T)[1][:, 0]
        offset = -float(normal @ centre)
    return normal, offset
