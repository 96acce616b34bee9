"""The large planes in view, a table or a wall, and distances from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.pixels import marked_pixels

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
EXTENT_PERCENTILES = (2.0, 98.0)
"""How far a plane reaches is told by all its points but these few: some of other things lie on it by chance."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Points ``p`` [m] with ``normal @ p + offset_m == 0``."""

    normal: Float64
    """Unit ``(3,)``."""
    offset_m: float
    """[m]."""
    extent_m: float
    """How far what is seen of it reaches: the diagonal of its bounding box along the camera's axes [m]."""


def larger_planes(planes: Sequence[Plane], diameter_m: float) -> list[Plane]:
    """The planes that cannot be a side of an object of this diameter [m]: what is seen of them reaches farther."""
    return [plane for plane in planes if plane.extent_m > diameter_m]


def plane_distances(z: Float32, K: Float64, planes: Sequence[Plane]) -> Float32:
    """Distance from the nearest of up to two large planes (table, wall) [m] ``(H, W)``.

    Args:
        z: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
        planes: Those of `large_planes`.

    Returns:
        Distances, -1 where there is no reading, and everywhere if there is no plane.
    """
    out = np.full(z.shape, -1.0, dtype=np.float32)
    v, u = marked_pixels(z > 0.0)
    points = _points(u, v, z[v, u], K)
    if planes:
        distances = [np.abs(plane.normal @ points + plane.offset_m) for plane in planes]
        out[v, u] = np.minimum.reduce(distances)
    return out


def large_planes(z: Float32, K: Float64) -> list[Plane]:
    """Up to two large planes (table, wall) of an image, in the camera frame; none where none is large enough.

    Args:
        z: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
    """
    v, u = marked_pixels(z > 0.0)
    points = _points(u, v, z[v, u], K)
    count = points.shape[1]
    if count < MIN_POINTS:
        return []
    tolerance_m = TOLERANCE_M + TOLERANCE_PER_M * points[2] * points[2]
    rng = np.random.default_rng(0)
    left = np.arange(count)
    planes: list[Plane] = []
    for least in PLANE_SHARES:
        if len(left) < least * count:
            break
        normal, offset = _largest_plane(points[:, left], tolerance_m[left], rng)
        off_plane = np.abs(normal @ points[:, left] + offset) >= tolerance_m[left]
        if len(left) - np.count_nonzero(off_plane) < least * count:
            break
        planes.append(Plane(normal=normal, offset_m=offset, extent_m=_extent_m(points[:, left[~off_plane]])))
        left = left[off_plane]
    return planes


def _points(u: NDArray[np.int64], v: NDArray[np.int64], z: Float32, K: Float64) -> Float64:
    """Points of the camera frame [m] as columns ``(3, N)``, which NumPy picks and multiplies faster than rows."""
    depth = z.astype(np.float64)
    return np.stack([(u - K[0, 2]) / K[0, 0] * depth, (v - K[1, 2]) / K[1, 1] * depth, depth])


def _extent_m(points: Float64) -> float:
    """How far points ``(3, N)`` reach [m], by some of them."""
    some = points[:, :: max(points.shape[1] // FIT_POINTS, 1)]
    low, high = np.percentile(some, EXTENT_PERCENTILES, axis=1)
    return float(np.linalg.norm(high - low))


def _largest_plane(points: Float64, tolerance_m: Float64, rng: np.random.Generator) -> tuple[Float64, float]:
    """Unit normal and offset [m] of the plane that holds most of ``points (3, N)``: random triples, then a fit.

    ``tolerance_m (N,)`` is how far from it each may lie.
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
