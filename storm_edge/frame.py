"""The `Frame` value: one colour and depth image with its camera, checked where it enters.

A `Frame` checks the types and shapes of its parts, which costs microseconds and is done for every frame. What is in
the arrays is checked by `checked_frame`: use it wherever images come from a camera, a file or other code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import CameraError, DepthError, FrameError, UnitError, mismatch
from storm_edge.geometry.camera import check_K

FARTHEST_DEPTH_M = 100.0
"""A depth image whose median reading is beyond this is in another unit: no depth camera reaches that far."""

_UINT8, _FLOAT32, _FLOAT64 = np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64)
_SAMPLED_EVERY = 16  # pixels along either side; the unit of a depth image shows in few of them
_SIZES = "give colour and depth of one size, depth aligned to colour"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One RGB-D image, depth aligned to colour. Its arrays are read where they lie, and kept: do not write to it.

    Raises:
        FrameError: Colour or depth is of another type or shape than stated below, or there is no index.
        DepthError: Depth is not float32.
        CameraError: ``K`` is not a float64 array ``(3, 3)``.
    """

    rgb: NDArray[np.uint8]
    """Colour, RGB, shape ``(H, W, 3)``."""
    depth_m: NDArray[np.float32]
    """z-depth along the optical axis [m], 0 = no reading, shape ``(H, W)``."""
    K: NDArray[np.float64]
    """Intrinsics [px], pixel centres on integers, shape ``(3, 3)``."""
    stamp_ns: int = 0
    """Time of exposure [ns]; left at 0 on every frame, the loop counts on the camera's nominal rate."""
    index: int = cast(int, None)
    """Number of the frame in its recording; must be given: a loop skips numbers that it has seen."""

    def __post_init__(self) -> None:
        what = f"frame {self.index}"
        _check_images(self.rgb, self.depth_m, what)
        if self.depth_m.dtype != _FLOAT32:
            got, remedy = f"{self.depth_m.dtype} depth", "convert with depth.astype(np.float32), or use checked_frame"
            if not np.issubdtype(self.depth_m.dtype, np.floating):
                remedy = "multiply by the camera's depth scale, 0.001 for millimetres, as float32"
            raise DepthError(mismatch(what, got, "float32 metres", remedy))
        if not isinstance(self.K, np.ndarray) or self.K.shape != (3, 3) or self.K.dtype != _FLOAT64:
            remedy = "give np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64), in pixels"
            raise CameraError(mismatch(f"{what} K", _form(self.K), "float64 array (3, 3)", remedy))
        for name, value in (("index", self.index), ("stamp_ns", self.stamp_ns)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                remedy = "give every frame its number" if name == "index" else "give the time of exposure in ns"
                raise FrameError(mismatch(f"frame {name}", repr(value), "a whole number", remedy))

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.rgb.shape[0], self.rgb.shape[1]


def checked_frame(
    rgb: NDArray[np.uint8],
    depth_m: NDArray[np.floating],
    K: NDArray[np.floating],
    *,
    index: int,
    stamp_ns: int = 0,
    what: str = "frame",
) -> Frame:
    """Build a `Frame` from images of unknown quality.

    NaN, infinite and negative depths become 0 (no reading): sensors write them where they did not measure. Depth of
    another floating type is converted.

    Args:
        rgb: Colour, RGB, shape ``(H, W, 3)``.
        depth_m: z-depth [m], shape ``(H, W)``.
        K: Intrinsics [px], shape ``(3, 3)``.
        index: Number of the frame in its recording.
        stamp_ns: Time of exposure [ns].
        what: Begins the messages; names the file, where there is one.

    Raises:
        FrameError: Colour is not uint8 ``(H, W, 3)``, depth has another size, or there is no index.
        DepthError: Depth is not floating point, or has no reading at all.
        UnitError: Depth cannot be in metres.
        CameraError: ``K`` is not a camera.
    """
    _check_images(rgb, depth_m, what)
    if not np.issubdtype(depth_m.dtype, np.floating):
        remedy = "multiply by the depth scale first, 0.001 for millimetres"
        raise DepthError(mismatch(f"{what} depth", depth_m.dtype, "float metres", remedy))
    depth = np.ascontiguousarray(depth_m, dtype=np.float32)
    usable = np.isfinite(depth) & (depth > 0.0)
    if not usable.all():
        depth = np.where(usable, depth, np.float32(0.0))
    if not usable.any():
        remedy = "check the depth stream and scale"
        raise DepthError(mismatch(f"{what} depth", "no pixel with a reading", "depth > 0 somewhere", remedy))
    _check_unit(depth, what)
    return Frame(
        rgb=np.ascontiguousarray(rgb),
        depth_m=depth,
        K=check_K(K, what=f"{what} K"),
        stamp_ns=stamp_ns,
        index=index,
    )


def _check_images(rgb: Any, depth_m: Any, what: str) -> None:
    """Refuse colour that is not uint8 ``(H, W, 3)``, and depth that is no array of its size."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != _UINT8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise FrameError(mismatch(f"{what} rgb", _form(rgb), "uint8 (H, W, 3)", _SIZES))
    if not isinstance(depth_m, np.ndarray) or depth_m.shape != rgb.shape[:2]:
        got = depth_m.shape if isinstance(depth_m, np.ndarray) else _form(depth_m)
        raise FrameError(mismatch(f"{what} depth", got, f"{rgb.shape[:2]} like its colour", _SIZES))


def _check_unit(depth_m: NDArray[np.float32], what: str) -> None:
    """Refuse depth whose median reading is farther away than a depth camera reaches."""
    sample = depth_m[::_SAMPLED_EVERY, ::_SAMPLED_EVERY]
    if 2 * np.count_nonzero(sample > FARTHEST_DEPTH_M) <= np.count_nonzero(sample):
        return
    median = float(np.median(sample[sample > 0.0]))
    raise UnitError(
        mismatch(
            f"{what} depth",
            f"a median of {median:.4g}",
            f"metres, at most {FARTHEST_DEPTH_M:g}",
            "multiply by the depth scale, 0.001 for millimetres (depth_scale of scene_camera.json in a recording)",
        )
    )


def _form(value: object) -> str:
    """Type and shape in words."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
