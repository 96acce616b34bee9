"""Pinhole intrinsics: check, project, and follow an image through crops. Pixel centres are integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.errors import CameraError, mismatch

Float64 = NDArray[np.float64]

_NEAR_MIDDLE = 0.15  # fixed: image sides; principal points of whole images lie nearer to the middle
_OFF_CENTRE = 0.2  # fixed: image sides; between those of whole images and a quarter, K of half the resolution
_NARROWEST_DEG = 7.0  # fixed: narrower are neither depth cameras nor pieces of their images that show an object
_WIDEST_DEG = 140.0  # fixed: the widest depth cameras have 120 degrees; what is wider is no pinhole camera
_MOST_SKEW_PX = 0.01  # fixed: rounding of a calibration; no pixel of an image moves by more


def check_K(K: ArrayLike, *, what: str = "K") -> Float64:
    """Return ``K`` as float64 ``(3, 3)`` or say why no camera has it.

    Raises:
        CameraError: Wrong shape, not finite, focal length not positive, last row not ``0 0 1``, or axes not at right
            angles: all that projects takes ``fx fy cx cy`` alone.
    """
    matrix = np.asarray(K, dtype=np.float64)
    remedy = "check the intrinsics of this image (fx 0 cx / 0 fy cy / 0 0 1, in pixels)"
    if matrix.shape != (3, 3):
        raise CameraError(mismatch(what, f"shape {matrix.shape}", "(3, 3)", remedy))
    if not np.isfinite(matrix).all():
        raise CameraError(mismatch(what, "NaN or infinite entries", "finite numbers", remedy))
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    if fx <= 0.0 or fy <= 0.0:
        raise CameraError(mismatch(what, f"focal lengths fx={fx:g}, fy={fy:g}", "both > 0 px", remedy))
    if not np.allclose(matrix[2], [0.0, 0.0, 1.0]):
        raise CameraError(mismatch(what, f"last row {matrix[2].tolist()}", "[0, 0, 1]", remedy))
    skew, below = float(matrix[0, 1]), float(matrix[1, 0])
    if abs(skew) > _MOST_SKEW_PX or abs(below) > _MOST_SKEW_PX:
        remedy = (
            "rectify colour and depth to a K without skew (cv2.initUndistortRectifyMap, cv2.remap; nearest for depth)"
        )
        raise CameraError(mismatch(what, f"skew K[0,1]={skew:g}, K[1,0]={below:g}", "both 0", remedy))
    return matrix


def principal_point_factor(K: ArrayLike, size_px: tuple[int, int]) -> float | None:
    """By what ``K`` must be multiplied, 2 or 0.5, to be of images of this size; None where it may be as it is.

    Cropped images have a principal point beside their middle, too; but one that lies near a quarter of both sides, or
    near the far corner, is that of an image of half or twice the size.

    Args:
        K: Intrinsics [px], ``(3, 3)``.
        size_px: Height and width of the images [px].
    """
    matrix = np.asarray(K, dtype=np.float64)
    place = np.array([matrix[1, 2] / size_px[0], matrix[0, 2] / size_px[1]])
    for factor in (2.0, 0.5):
        if (np.abs(place * factor - 0.5) < _NEAR_MIDDLE * min(factor, 1.0)).all():
            return factor
    return None


def is_off_centre(K: ArrayLike, size_px: tuple[int, int]) -> bool:
    """Whether the principal point lies a fifth of an image side or more from the middle; arguments as above."""
    matrix = np.asarray(K, dtype=np.float64)
    gap = np.array([matrix[1, 2] / size_px[0], matrix[0, 2] / size_px[1]]) - 0.5
    return bool((np.abs(gap) > _OFF_CENTRE).any())


def field_of_view_deg(K: ArrayLike, size_px: tuple[int, int]) -> tuple[float, float]:
    """Horizontal and vertical field of view [deg] of whole images; arguments as above."""
    matrix = np.asarray(K, dtype=np.float64)
    height, width = size_px
    x, y = np.rad2deg(2.0 * np.arctan(0.5 * np.array([width / matrix[0, 0], height / matrix[1, 1]])))
    return float(x), float(y)


def is_odd_field_of_view(K: ArrayLike, size_px: tuple[int, int]) -> bool:
    """Whether no depth camera has such a field of view: `K` is in another unit than pixels, or far off."""
    return not all(_NARROWEST_DEG <= angle <= _WIDEST_DEG for angle in field_of_view_deg(K, size_px))


def project(K: ArrayLike, points: ArrayLike) -> Float64:
    """Pixels ``(..., 2)`` of camera-frame points [m] ``(..., 3)`` with ``z > 0``."""
    p = np.asarray(points, dtype=np.float64) @ np.asarray(K, dtype=np.float64).T
    return np.asarray(p[..., :2] / p[..., 2:])


def back_project(K: ArrayLike, pixels: ArrayLike, depth_m: ArrayLike) -> Float64:
    """Camera-frame points [m] ``(..., 3)`` of pixels ``(..., 2)`` at z-depth ``(...)`` [m]."""
    uv = np.asarray(pixels, dtype=np.float64)
    rays = np.concatenate([uv, np.ones(uv.shape[:-1] + (1,))], axis=-1) @ np.linalg.inv(np.asarray(K)).T
    return np.asarray(rays * np.asarray(depth_m, dtype=np.float64)[..., None])


def crop_K(K: ArrayLike, scale: ArrayLike, offset: ArrayLike) -> Float64:
    """Intrinsics after the axis-aligned resampling ``u_src = scale * u_crop + offset``.

    Args:
        K: Intrinsics of the source image [px], shape ``(3, 3)``.
        scale: Source pixels per crop pixel ``(..., 2)`` for u and v.
        offset: Source position [px] of the centre of crop pixel (0, 0), shape ``(..., 2)``.

    Returns:
        ``K_crop`` with shape ``(..., 3, 3)``: projecting with it gives crop pixels.
    """
    scale = np.asarray(scale, dtype=np.float64)
    offset = np.asarray(offset, dtype=np.float64)
    A = np.zeros(scale.shape[:-1] + (3, 3))  # crop <- source
    A[..., 0, 0], A[..., 1, 1], A[..., 2, 2] = 1.0 / scale[..., 0], 1.0 / scale[..., 1], 1.0
    A[..., 0, 2], A[..., 1, 2] = -offset[..., 0] / scale[..., 0], -offset[..., 1] / scale[..., 1]
    return np.asarray(A @ np.asarray(K, dtype=np.float64))
