"""What was measured under a mask, and whether it can be the object: the checks before any hypothesis is made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MaskError, UnitError, mismatch
from storm_edge.geometry.camera import back_project
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

Float64 = NDArray[np.float64]


def masked_surface(frame: FrameBuffers, mask: NDArray[np.bool_], *, min_depth_px: int) -> Float64:
    """Camera-frame points [m] of the mask's pixels that have depth, ``(N, 3)``.

    Args:
        frame: The image, uploaded.
        mask: Object pixels, ``(H, W)``.
        min_depth_px: Fewest points that can place an object.

    Raises:
        MaskError: The mask is not bool, has another size, marks nothing, or has too few pixels with depth.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        got = mask.dtype if isinstance(mask, np.ndarray) else f"a {type(mask).__name__}"
        raise MaskError(mismatch("mask", got, "a bool array (H, W)", "compare the image with 0: mask > 0"))
    depth = frame.depth.numpy()
    if mask.shape != depth.shape:
        raise MaskError(
            mismatch("mask", f"{mask.shape}", f"{depth.shape} like the image", "give the mask of this image")
        )
    if not mask.any():
        raise MaskError(
            mismatch("mask", "no object pixel", "the visible object marked", "check the mask or the frame")
        )
    v, u = marked_pixels(mask & (depth > 0.0))
    if len(u) < min_depth_px:
        raise MaskError(
            mismatch(
                "mask",
                f"{len(u)} of its {int(mask.sum())} pixels with depth",
                f"at least {min_depth_px}",
                "check that depth is aligned to colour and that the object is within the sensor's range",
            )
        )
    return back_project(frame.K, np.stack([u, v], axis=1), depth[v, u])


def mask_middle(surface: Float64, mask: NDArray[np.bool_], K: Float64, reach_m: float) -> Float64:
    """The point in the middle of a mask on the plane that its surface comes nearest to, ``(3,)`` [m].

    Depth is often missing on one part of an object, at thin and far parts most of all; the middle of what has depth
    lies beside the object's then. In an image a plane's inverse depth changes linearly.

    Args:
        surface: Measured points under the mask [m], ``(N, 3)``.
        mask: Object pixels ``(H, W)``.
        K: Intrinsics [px], ``(3, 3)``.
        reach_m: Points this far from the median depth are stray, and the middle is no farther from it.
    """
    rows, columns = marked_pixels(mask)
    middle_px = np.array([columns.mean(), rows.mean()])
    median_m = float(np.median(surface[:, 2]))
    is_near = np.abs(surface[:, 2] - median_m) < reach_m
    near = surface[is_near] if is_near.any() else surface
    seen_px = near[:, :2] / near[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
    inverse = 1.0 / near[:, 2]
    spread_px = seen_px - seen_px.mean(axis=0)
    # Along a direction in which the points hardly differ the least squares of smallest norm has no slope.
    slope = np.linalg.lstsq(spread_px, inverse - inverse.mean(), rcond=0.05)[0]  # fixed: a line is no plane
    there = float(inverse.mean() + (middle_px - seen_px.mean(axis=0)) @ slope)
    z_m = np.clip(1.0 / max(there, 1e-6), median_m - reach_m, median_m + reach_m)
    return np.array([*(middle_px - K[:2, 2]) / K[[0, 1], [0, 1]] * z_m, z_m])


def check_scale(surface: Float64, diameter_m: float, *, max_factor: float, stray_percent: float) -> None:
    """Refuse a model whose size and the depth under the mask cannot be in the same unit.

    Args:
        surface: Points under the mask [m], ``(N, 3)``.
        diameter_m: Diameter of the model [m].
        max_factor: From here on the two are in different units.
        stray_percent: Share of the points at either end that is left out as stray depth [%].

    Raises:
        UnitError: The model is many times larger or smaller than what the mask shows.
    """
    low, high = np.percentile(np.ascontiguousarray(surface.T), [stray_percent, 100.0 - stray_percent], axis=1)
    extent_m = float(np.linalg.norm((high - low)[:2])) / ((100.0 - 2.0 * stray_percent) / 100.0)
    if not diameter_m / max_factor < extent_m < diameter_m * max_factor:
        factor = diameter_m / max(extent_m, 1e-9)
        raise UnitError(
            mismatch(
                "object size",
                f"a model of {diameter_m:.4g} m over a mask that spans {extent_m:.3g} m in depth ({factor:.3g} x)",
                "the same size",
                "onboard the model with the other --unit, or correct depth_scale in scene_camera.json",
            )
        )
