"""Surface normals from depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

EDGE_SHARE = 0.04
"""Neighbours whose z differs by more than this share are on two surfaces."""


def surface_normals(z: Float32, K: Float64) -> Float32:
    """Unit normals towards the camera ``(H, W, 3)``, 0 at depth edges and where a neighbour has no reading.

    Args:
        z: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
    """
    height, width = z.shape
    x = (np.arange(width, dtype=np.float32) - np.float32(K[0, 2])) / np.float32(K[0, 0]) * z
    y = (np.arange(height, dtype=np.float32) - np.float32(K[1, 2]))[:, None] / np.float32(K[1, 1]) * z
    # Coordinate by coordinate: NumPy is slow along a last axis of three.
    ux, uy, uz = (p[1:-1, 2:] - p[1:-1, :-2] for p in (x, y, z))
    vx, vy, vz = (p[2:, 1:-1] - p[:-2, 1:-1] for p in (x, y, z))
    normal = vy * uz - vz * uy, vz * ux - vx * uz, vx * uy - vy * ux  # y cross x points to the camera
    length = np.maximum(np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), np.float32(1e-12))
    limit = np.float32(EDGE_SHARE) * z[1:-1, 1:-1]
    whole = (np.minimum(z[1:-1, 2:], z[1:-1, :-2]) > 0.0) & (np.minimum(z[2:, 1:-1], z[:-2, 1:-1]) > 0.0)
    whole &= (z[1:-1, 1:-1] > 0.0) & (np.abs(uz) < 2 * limit) & (np.abs(vz) < 2 * limit)
    out = np.zeros((height, width, 3), dtype=np.float32)
    for axis, along in enumerate(normal):
        out[1:-1, 1:-1, axis] = np.where(whole, along / length, np.float32(0.0))
    return out
