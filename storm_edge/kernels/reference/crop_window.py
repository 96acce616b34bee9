"""Crop windows in NumPy, see `storm_edge.kernels.crop_window`. Also used where poses live on the host anyway."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.camera import crop_K

Float64 = NDArray[np.float64]


def window_square(T_cam_obj: ArrayLike, K: ArrayLike, reach_m: float) -> tuple[Float64, Float64]:
    """Projected centre ``(N, 2)`` and half side ``rho (N,)`` [px] of the square around poses ``(N, 4, 4)``."""
    t = np.asarray(T_cam_obj, dtype=np.float64)[..., :3, 3]
    K = np.asarray(K, dtype=np.float64)
    x, y, z = t[..., 0], t[..., 1], t[..., 2]
    centre = np.stack([(K[0, 0] * x + K[0, 1] * y) / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], axis=-1)
    return centre, reach_m * max(K[0, 0], K[1, 1], abs(K[0, 1])) / z


def plain_windows(T_cam_obj: ArrayLike, K: ArrayLike, *, reach_m: float, size_px: int) -> tuple[Float64, Float64]:
    """Our rule: borders of the square at the borders of the crop.

    Args:
        T_cam_obj: Poses [m] with ``z > 0``, ``(N, 4, 4)``.
        K: Intrinsics of the image [px], ``(3, 3)``.
        reach_m: Half side of the window at the object's distance [m].
        size_px: Side of the crop [px].

    Returns:
        Windows ``(su, tu, sv, tv)``, ``(N, 4)``, and ``K_crop``, ``(N, 3, 3)``.
    """
    centre, rho = window_square(T_cam_obj, K, reach_m)
    scale = np.repeat((2.0 * rho / size_px)[..., None], 2, axis=-1)
    offset = centre - rho[..., None] + 0.5 * scale
    windows = np.stack([scale[..., 0], offset[..., 0], scale[..., 1], offset[..., 1]], axis=-1)
    return windows, crop_K(K, scale, offset)


def upstream_windows(
    T_cam_obj: ArrayLike, K: ArrayLike, *, reach_m: float, size_px: int, image_size_px: tuple[int, int]
) -> tuple[Float64, Float64]:
    """FoundationPose's rule (reference-networks 5.5 and 5.6); arguments and results as `plain_windows`.

    The observed windows hold kornia's sampling coordinate ``(left + j*s) * W/(W-1) - 0.5``; ``K_crop`` puts the
    centre of rendered column j at ``left + (j + 0.5) * (S-1)/S * s``.
    """
    centre, rho = window_square(T_cam_obj, K, reach_m)
    low = np.rint(centre - rho[..., None])
    scale = (np.rint(centre + rho[..., None]) - low) / size_px
    extent = np.array([image_size_px[1], image_size_px[0]], dtype=np.float64)
    stretch = extent / (extent - 1.0)
    seen_scale, seen_offset = scale * stretch, low * stretch - 0.5
    windows = np.stack([seen_scale[..., 0], seen_offset[..., 0], seen_scale[..., 1], seen_offset[..., 1]], axis=-1)
    drawn = scale * (size_px - 1) / size_px
    return windows, crop_K(K, drawn, low + 0.5 * drawn)
