"""Crops in NumPy, see `storm_edge.kernels.crop`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]


def _positions(window: Float64, size_px: int) -> tuple[Float64, Float64]:
    index = np.arange(size_px)
    return window[0] * index + window[1], window[2] * index + window[3]


def crop_colour(rgb: NDArray[np.uint8], window: ArrayLike, size_px: int) -> Float64:
    """Bilinear colours in [0, 1] ``(S, S, 3)`` of ``rgb (H, W, 3)`` in a window ``(su, tu, sv, tv)``, 0 outside."""
    u, v = _positions(np.asarray(window, dtype=np.float64), size_px)
    height, width = rgb.shape[:2]
    out = np.zeros((size_px, size_px, 3))
    for dv in (0, 1):
        for du in (0, 1):
            column, row = np.floor(u).astype(int) + du, np.floor(v).astype(int) + dv
            weight = (1.0 - np.abs(v - row))[:, None] * (1.0 - np.abs(u - column))[None]
            inside = ((row >= 0) & (row < height))[:, None] & ((column >= 0) & (column < width))[None]
            pixels = rgb[np.clip(row, 0, height - 1)][:, np.clip(column, 0, width - 1)] / 255.0
            out += np.where(inside, weight, 0.0)[..., None] * pixels
    return out


def crop_nearest(image: NDArray[np.floating], window: ArrayLike, size_px: int) -> Float64:
    """Nearest pixels (half to even) ``(S, S, ...)`` of ``image (H, W, ...)`` in a window, 0 outside."""
    u, v = _positions(np.asarray(window, dtype=np.float64), size_px)
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    height, width = image.shape[:2]
    out = np.zeros((size_px, size_px, *image.shape[2:]))
    rows, columns = (row >= 0) & (row < height), (column >= 0) & (column < width)
    out[np.ix_(rows, columns)] = image[np.ix_(row[rows], column[columns])]
    return out
