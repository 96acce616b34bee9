"""Smooth random fields in the image and in space, the raw material of textures and of sensor noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


_SPREAD = {cv2.INTER_LINEAR: 1.5, cv2.INTER_CUBIC: 1.25}  # interpolation evens out; this restores unit variance


def image_field(
    rng: np.random.Generator, size_px: tuple[int, int], scale_px: float, *, interpolation: int = cv2.INTER_LINEAR
) -> Float32:
    """Smooth noise of about zero mean and unit variance, shape ``(H, W)``.

    Args:
        rng: Source of randomness.
        size_px: Height and width [px].
        scale_px: Distance over which the field changes [px]; at 1 or less it is white noise.
        interpolation: OpenCV's linear for noise, or its slower cubic where contours of the field will be seen.
    """
    height, width = size_px
    if scale_px <= 1.0:
        return rng.standard_normal(size_px, dtype=np.float32)
    # One lattice cell of margin on each side keeps the interpolation away from the border, where it would be flat.
    rows, columns = int(height / scale_px) + 3, int(width / scale_px) + 3
    lattice = rng.standard_normal((rows, columns), dtype=np.float32)
    shift = rng.random(2)
    A = np.array([[1.0 / scale_px, 0.0, shift[0]], [0.0, 1.0 / scale_px, shift[1]]])
    field = cv2.warpAffine(
        lattice, A, (width, height), flags=interpolation | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(field * np.float32(_SPREAD[interpolation]), dtype=np.float32)


def space_field(rng: np.random.Generator, points: NDArray[np.floating], scale: float) -> Float64:
    """Smooth noise in [0, 1] at ``points (N, 3)``; ``scale`` is the distance over which it changes, same unit."""
    lattice = rng.random((8, 8, 8))
    coordinates = (np.asarray(points, dtype=np.float64) / scale + rng.uniform(0.0, 8.0, 3)).T
    return np.asarray(map_coordinates(lattice, coordinates, order=1, mode="grid-wrap"))
