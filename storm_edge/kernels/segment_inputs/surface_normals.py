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
    p = np.stack([x, y, z], axis=2)
    along_u = p[1:-1, 2:] - p[1:-1, :-2]
    along_v = p[2:, 1:-1] - p[:-2, 1:-1]
    n = np.cross(along_v, along_u)  # y cross x points to the camera
    n /= np.maximum(np.linalg.norm(n, axis=2, keepdims=True), np.float32(1e-12))
    limit = np.float32(EDGE_SHARE) * z[1:-1, 1:-1]
    whole = (np.minimum(z[1:-1, 2:], z[1:-1, :-2]) > 0.0) & (np.minimum(z[2:, 1:-1], z[:-2, 1:-1]) > 0.0)
    whole &= (z[1:-1, 1:-1] > 0.0) & (np.abs(along_u[..., 2]) < 2 * limit) & (np.abs(along_v[..., 2]) < 2 * limit)
    out = np.zeros((height, width, 3), dtype=np.float32)
    out[1:-1, 1:-1] = np.where(whole[..., None], n, np.float32(0.0))
    return out
