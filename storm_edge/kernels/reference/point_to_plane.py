"""Rows of the depth modality in NumPy, see `storm_edge.kernels.point_to_plane`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import back_project, project
from storm_edge.geometry.se3 import transform
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.reference.posed_image import PosedImage

Float64 = NDArray[np.float64]


def point_to_plane_rows(
    image: PosedImage,
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    *,
    reach_m: float,
    stride_m: float,
    deviation: float,
    occlusion_m: float,
    noise_per_m: float = 0.0,
) -> Float64:
    """Rows ``(P, 8)`` of one pose ``(4, 4)`` and the points and normals ``(P, 3)`` of its view."""
    _, depth, K, T = image
    rows = np.zeros((len(points), 8))
    pixels = np.floor(project(K, transform(T, points)) + 0.5).astype(int)
    for p, (u, v) in enumerate(pixels):
        arm = T[:3, :3] @ points[p]
        X = arm + T[:3, 3]
        if not (0 <= u < depth.shape[1] and 0 <= v < depth.shape[0]):
            continue
        if 0.0 < depth[v, u] < X[2] - depth_limits(occlusion_m, noise_per_m, X[2]):
            continue
        pixels_per_m = K[0, 0] / X[2]
        stride = max(int(stride_m * pixels_per_m), 1)
        steps = int(reach_m * pixels_per_m) // stride
        offsets = stride * np.arange(-steps, steps + 1)
        x, y = np.meshgrid(u + offsets, v + offsets)
        inside = (x >= 0) & (y >= 0) & (x < depth.shape[1]) & (y < depth.shape[0])
        x, y = x[inside], y[inside]
        z = depth[y, x].astype(np.float64)
        read = z > 0.0
        measured = back_project(K, np.stack([x, y], axis=-1)[read], z[read])
        distance = np.linalg.norm(measured - X, axis=-1)
        if not len(distance) or distance.min() >= depth_limits(reach_m, noise_per_m, X[2]):
            continue
        normal = T[:3, :3] @ normals[p]
        weight = 1.0 / (deviation * X[2])
        r = normal @ (X - measured[np.argmin(distance)])
        rows[p] = np.concatenate([np.cross(arm, normal) * weight, normal * weight, [r * weight, 1.0]])
    return rows
