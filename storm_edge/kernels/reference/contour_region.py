"""Rows and colour statistics of the region modality in NumPy, see `storm_edge.kernels.contour_region`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.kernels.contour_region import (
    BIN_COUNT,
    DISPLACEMENT_COUNT,
    SEGMENT_COUNT,
    SUPPORT,
    colour_bins,
    smoothed_step,
)
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.reference.posed_image import ContourPoints, PosedImage

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]


def is_hidden(depth: NDArray[np.float32], y: int, x: int, radius_px: int, nearest_m: float) -> bool:
    """Whether any of nine readings around a pixel is nearer than ``nearest_m``."""
    offsets = radius_px * np.arange(-1, 2)
    xx, yy = np.meshgrid(x + offsets, y + offsets)
    inside = (xx >= 0) & (yy >= 0) & (xx < depth.shape[1]) & (yy < depth.shape[0])
    z = depth[yy[inside], xx[inside]]
    return bool(((z > 0.0) & (z < nearest_m)).any())


def displacement(foreground: Float64) -> tuple[float, float]:
    """Mean and variance [segments] of the contour's displacement from segment probabilities ``(SEGMENT_COUNT,)``."""
    step = smoothed_step().astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(foreground, SUPPORT)
    posterior = np.prod(step * windows + (1.0 - step) * (1.0 - windows), axis=1)
    posterior /= posterior.sum()
    d = np.arange(DISPLACEMENT_COUNT) - 0.5 * (DISPLACEMENT_COUNT - 1)
    mean = float(posterior @ d)
    return mean, float(posterior @ d**2) - mean**2


def region_rows(
    image: PosedImage,
    contour: ContourPoints,
    log_odds: Float64,
    *,
    scale_px: int,
    deviation_px: float,
    variance_floor: float,
    occlusion_m: float,
    noise_per_m: float = 0.0,
) -> Float64:
    """Rows ``(P, 8)`` of one pose ``(4, 4)`` and the lines of its view."""
    rgb, depth, K, T = image
    points, normals, distances = contour
    rows = np.zeros((len(points), 8))
    odds = log_odds[colour_bins(rgb)]
    half = 0.5 * SEGMENT_COUNT * scale_px
    pixels = project(K, transform(T, points))
    for p, (u, v) in enumerate(pixels):
        arm = T[:3, :3] @ points[p]
        X = arm + T[:3, 3]
        normal = (T[:3, :3] @ normals[p])[:2]
        normal /= np.linalg.norm(normal)
        if (distances[p] * K[0, 0] / X[2] / scale_px < 3.0).any():
            continue
        if min(u, v, rgb.shape[1] - 1 - u, rgb.shape[0] - 1 - v) < half + 1.0:
            continue
        nearest_m = X[2] - float(depth_limits(occlusion_m, noise_per_m, X[2]))
        if is_hidden(depth, int(v + 0.5), int(u + 0.5), int(0.01 * K[0, 0] / X[2]), nearest_m):
            continue
        offsets = np.arange(SEGMENT_COUNT * scale_px) + 0.5 - half
        x = (u + offsets * normal[0] + 0.5).astype(int)
        y = (v + offsets * normal[1] + 0.5).astype(int)
        segments = odds[y, x].reshape(SEGMENT_COUNT, scale_px).sum(axis=1)
        mean, variance = displacement(1.0 / (1.0 + np.exp(-segments)))
        weight = np.sqrt(variance_floor / max(variance, variance_floor)) / deviation_px
        projection = np.array([[K[0, 0], 0.0, -K[0, 0] * X[0] / X[2]], [0.0, K[1, 1], -K[1, 1] * X[1] / X[2]]]) / X[2]
        g = normal @ projection
        rows[p] = np.concatenate([np.cross(arm, g) * weight, g * weight, [-mean * scale_px * weight, 1.0]])
    return rows


def count_colours(
    image: PosedImage,
    contour: ContourPoints,
    surface: NDArray[np.float32],
    *,
    gap_px: float,
    length_px: float,
    agreement_m: float,
    noise_per_m: float = 0.0,
) -> Float64:
    """Foreground and background counts ``(2, BIN_COUNT)`` at one pose."""
    rgb, depth, K, T = image
    points, normals, distances = contour
    counts = np.zeros((2, BIN_COUNT))
    bins = colour_bins(rgb)
    height, width = depth.shape
    for Y in transform(T, surface):
        x, y = np.floor(project(K, Y) + 0.5).astype(int)
        if not (0 < x < width - 1 and 0 < y < height - 1):
            continue
        if depth[y, x] > 0.0 and abs(depth[y, x] - Y[2]) > depth_limits(agreement_m, noise_per_m, Y[2]):
            continue
        np.add.at(counts[0], bins[y - 1 : y + 2, x - 1 : x + 2].ravel(), 1.0)
    for p, X in enumerate(transform(T, points)):
        normal = (T[:3, :3] @ normals[p])[:2]
        normal /= np.linalg.norm(normal)
        end = min(distances[p, 1] * K[0, 0] / X[2] - gap_px, length_px + gap_px)
        offsets = np.arange(gap_px + 0.5, end, 1.0)
        x, y = np.floor(project(K, X)[:, None] + offsets * normal[:, None] + 0.5).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        np.add.at(counts[1], bins[y[inside], x[inside]], 1.0)
    return counts
