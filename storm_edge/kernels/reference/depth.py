"""Depth cleaning, erosion, smoothing and back-projection in NumPy, see `storm_edge.kernels.depth`."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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


def _windows(depth: Float64, radius: int) -> Float64:
    """The window around every pixel ``(H, W, (2r+1)^2)``, NaN beyond the image."""
    side = 2 * radius + 1
    padded = np.pad(depth, radius, constant_values=np.nan)
    return sliding_window_view(padded, (side, side)).reshape(*depth.shape, side * side)


def _erode(depth: Float64, config: DepthFilter) -> Float64:
    window = _windows(depth, config.erode_radius_px)
    agrees = (window > 0.0) & (np.abs(window - depth[..., None]) <= config.erode_difference_m)
    size = (~np.isnan(window)).sum(axis=-1)
    return np.where(size - agrees.sum(axis=-1) > config.erode_ratio * size, 0.0, depth)


def _smooth(depth: Float64, config: DepthFilter) -> Float64:
    radius = config.smooth_radius_px
    window = np.nan_to_num(_windows(depth, radius))
    mean = window.sum(axis=-1) / np.maximum((window > 0.0).sum(axis=-1), 1)
    offset = np.arange(-radius, radius + 1)
    weights = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2).ravel() / (2.0 * config.smooth_sigma_px**2))
    weights = weights * ((window > 0.0) & (np.abs(window - mean[..., None]) < config.smooth_gate_m))
    total = weights.sum(axis=-1)
    return np.where(total > 0.0, (weights * window).sum(axis=-1) / np.where(total > 0.0, total, 1.0), 0.0)


def back_project(depth: NDArray[np.floating], K: NDArray[np.floating], far_m: float) -> Float64:
    """Camera-frame points [m], 0 where there is no reading, ``(H, W, 3)``."""
    z = clean(depth, far_m)
    v, u = np.indices(z.shape)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T
    return np.asarray(rays * z[..., None])
