"""Rows of the colour modality in NumPy, see `storm_edge.kernels.photometric`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.reference.posed_image import PosedImage, SurfacePoints

Float64 = NDArray[np.float64]


def tone(rgb: NDArray[np.uint8], axis: Float64, v: float, u: float) -> float:
    """Bilinear colour along ``axis (3,)``, RGB counted from 0 to 1."""
    x, y = int(u), int(v)
    patch = rgb[y : y + 2, x : x + 2] @ axis / 255.0
    a, b = u - x, v - y
    return float(np.array([1.0 - b, b]) @ patch @ np.array([1.0 - a, a]))


def photometric_rows(
    image: PosedImage,
    surface: SurfacePoints,
    *,
    gain: float,
    bias: float,
    blur_px: float,
    deviation: float,
    agreement_m: float,
    noise_per_m: float = 0.0,
) -> Float64:
    """Rows ``(P, 8)`` of one pose ``(4, 4)`` and the surface points of its view."""
    rgb, depth, K, T = image
    points, _, tones, axis = surface
    rows = np.zeros((len(points), 8))
    pixels = project(K, transform(T, points))
    for p, (u, v) in enumerate(pixels):
        arm = T[:3, :3] @ points[p]
        X = arm + T[:3, 3]
        if min(u, v, rgb.shape[1] - 1 - u, rgb.shape[0] - 1 - v) < blur_px + 2.0:
            continue
        z = depth[int(v + 0.5), int(u + 0.5)]
        if z > 0.0 and abs(z - X[2]) > depth_limits(agreement_m, noise_per_m, X[2]):
            continue
        right, left = tone(rgb, axis, v, u + blur_px), tone(rgb, axis, v, u - blur_px)
        below, above = tone(rgb, axis, v + blur_px, u), tone(rgb, axis, v - blur_px, u)
        image = 0.5 * tone(rgb, axis, v, u) + 0.125 * (right + left + below + above)
        r = (image - gain * tones[p] - bias) / deviation
        weight = 1.0 / np.sqrt(1.0 + 0.25 * r * r)
        slope = np.array([right - left, below - above]) / (2.0 * blur_px)
        projection = np.array([[K[0, 0], 0.0, -K[0, 0] * X[0] / X[2]], [0.0, K[1, 1], -K[1, 1] * X[1] / X[2]]]) / X[2]
        g = slope @ projection * (weight / deviation)
        rows[p] = np.concatenate([np.cross(arm, g), g, [r * weight, 1.0]])
    return rows
