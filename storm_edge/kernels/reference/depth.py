"""Depth cleaning, erosion, smoothing and back-projection in NumPy, see `storm_edge.kernels.depth`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.depth import MIN_DEPTH_M, DepthFilter

Float64 = NDArray[np.float64]


def clean(depth: NDArray[np.floating], far_m: float) -> Float64:
    """0 for everything that is not a reading, ``(H, W)`` [m]."""
    z = np.asarray(depth, dtype=np.float64)
    return np.where((z >= MIN_DEPTH_M) & (z < far_m), z, 0.0)


def filter_depth(depth: NDArray[np.floating], config: DepthFilter) -> Float64:
    """Erode, then smooth the whole image ``(H, W)`` [m]."""
    return _smooth(_erode(clean(depth, config.far_m), config), config)


def _erode(depth: Float64, config: DepthFilter) -> Float64:
    out, r = depth.copy(), config.erode_radius_px
    for row, column in np.ndindex(depth.shape):
        window = depth[max(row - r, 0) : row + r + 1, max(column - r, 0) : column + r + 1]
        agrees = (window > 0.0) & (np.abs(window - depth[row, column]) <= config.erode_difference_m)
        if (~agrees).sum() > config.erode_ratio * window.size:
            out[row, column] = 0.0
    return out


def _smooth(depth: Float64, config: DepthFilter) -> Float64:
    out, r = np.zeros_like(depth), config.smooth_radius_px
    rows, columns = np.indices(depth.shape)
    for row, column in np.ndindex(depth.shape):
        part = (slice(max(row - r, 0), row + r + 1), slice(max(column - r, 0), column + r + 1))
        window = depth[part]
        if not window.any():
            continue
        near = (window > 0.0) & (np.abs(window - window[window > 0.0].mean()) < config.smooth_gate_m)
        squared = (rows[part] - row) ** 2 + (columns[part] - column) ** 2
        weights = near * np.exp(-squared / (2.0 * config.smooth_sigma_px**2))
        if weights.any():
            out[row, column] = (weights * window).sum() / weights.sum()
    return out


def back_project(depth: NDArray[np.floating], K: NDArray[np.floating], far_m: float) -> Float64:
    """Camera-frame points [m], 0 where there is no reading, ``(H, W, 3)``."""
    z = clean(depth, far_m)
    v, u = np.indices(z.shape)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T
    return np.asarray(rays * z[..., None])
