"""The `Frame` value: one colour and depth image with its camera, checked where it enters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import DepthError, FrameError, mismatch
from storm_edge.geometry.camera import check_K


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One RGB-D image, depth aligned to colour. Its arrays are read where they lie, and kept: do not write to it."""

    rgb: NDArray[np.uint8]
    """Colour, RGB, shape ``(H, W, 3)``."""
    depth_m: NDArray[np.float32]
    """z-depth along the optical axis [m], 0 = no reading, shape ``(H, W)``."""
    K: NDArray[np.float64]
    """Intrinsics [px], pixel centres on integers, shape ``(3, 3)``."""
    stamp_ns: int = 0
    """Time of exposure [ns]."""
    index: int = 0
    """Number of the frame in its recording."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.rgb.shape[0], self.rgb.shape[1]


def checked_frame(
    rgb: NDArray[np.uint8],
    depth_m: NDArray[np.floating],
    K: NDArray[np.floating],
    *,
    stamp_ns: int = 0,
    index: int = 0,
    what: str = "frame",
) -> Frame:
    """Build a `Frame` from images of unknown quality.

    NaN, infinite and negative depths become 0 (no reading): sensors write them where they did not measure.

    Raises:
        FrameError: Colour is not uint8 ``(H, W, 3)`` or depth has another size.
        DepthError: Depth is not floating point, or has no reading at all.
        CameraError: ``K`` is not a camera.
    """
    remedy = "give colour and depth of one size, depth aligned to colour"
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise FrameError(mismatch(f"{what} rgb", f"{rgb.dtype} {rgb.shape}", "uint8 (H, W, 3)", remedy))
    if depth_m.shape != rgb.shape[:2]:
        raise FrameError(mismatch(f"{what} depth", f"{depth_m.shape}", f"{rgb.shape[:2]} like its colour", remedy))
    if not np.issubdtype(depth_m.dtype, np.floating):
        raise DepthError(
            mismatch(f"{what} depth", depth_m.dtype, "float metres", "multiply by the depth scale first")
        )
    depth = np.ascontiguousarray(depth_m, dtype=np.float32)
    usable = np.isfinite(depth) & (depth > 0.0)
    if not usable.all():
        depth = np.where(usable, depth, np.float32(0.0))
    if not usable.any():
        raise DepthError(
            mismatch(
                f"{what} depth", "no pixel with a reading", "depth > 0 somewhere", "check the depth stream and scale"
            )
        )
    return Frame(
        rgb=np.ascontiguousarray(rgb),
        depth_m=depth,
        K=check_K(K, what=f"{what} K"),
        stamp_ns=stamp_ns,
        index=index,
    )
