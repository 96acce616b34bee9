"""A frame packed small enough to keep the last seconds of a camera in memory, with what was reported of it.

Depth is kept exactly: as whole millimetres where it is that, or else as it is, compressed by zstd. Colour is kept
exactly, too, or as JPEG. Packing takes 2 to 5 ms for 640x480 and lets other threads run meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame

Float64 = NDArray[np.float64]

JPEG_QUALITY = 90
"""Of JPEG colour; 47 kB for a picture of 640x480."""
_LEVEL = 1  # of zstd: depth takes 1.5 ms and 226 kB; higher levels take longer than a frame for a few per cent
_METRES_PER_STEP = np.float32(1e-3)


class ColourCoding(str, Enum):
    """How colour is kept."""

    JPEG = "jpeg"
    """Small; a replay sees nearly the same picture."""
    LOSSLESS = "lossless"
    """Exactly; about four times as large in all."""


class DepthCoding(str, Enum):
    """How depth is kept; the value is ROS's name of it."""

    MILLIMETRES = "16UC1"
    """uint16 millimetres."""
    METRES = "32FC1"
    """float32 metres, where depth is not whole millimetres."""

    @property
    def dtype(self) -> Any:
        """Of an image."""
        return np.dtype("<u2") if self is DepthCoding.MILLIMETRES else np.dtype("<f4")


@dataclass(frozen=True, kw_only=True)
class PackedFrame:
    """A frame of a camera, compressed."""

    index: int
    """Its number."""
    stamp_ns: int
    """Time of exposure by the camera's clock [ns]; may leap."""
    arrived_ns: int
    """When it came, by this machine's clock [ns]; above that of the frame before."""
    size_px: tuple[int, int]
    """Height and width [px]."""
    K: Float64
    """Intrinsics [px], ``(3, 3)``."""
    colour: bytes
    """JPEG, or zstd of uint8 ``(H, W, 3)``."""
    colour_coding: ColourCoding
    """Which of both."""
    depth: bytes
    """zstd of ``(H, W)``."""
    depth_coding: DepthCoding
    """Of what type."""
    skipped: str | None = None
    """Why the frame was not used; None if it was."""
    lines: tuple[str, ...] = ()
    """A line of `poses.jsonl` per object."""
    poses: tuple[tuple[str, Float64], ...] = ()
    """Name and ``T_cam_obj`` of the objects that are TRACKING."""

    @property
    def size_bytes(self) -> int:
        """Memory that its images take [bytes]."""
        return len(self.colour) + len(self.depth)

    def rgb(self) -> NDArray[np.uint8]:
        """Colour, uint8 ``(H, W, 3)``, of lossless frames."""
        return np.frombuffer(_expanded(self.colour), dtype=np.uint8).reshape(*self.size_px, 3)

    def depth_bytes(self) -> bytes:
        """Depth as `depth_coding` says."""
        return _expanded(self.depth)


class Packer:
    """Packs frames; for one thread.

    Args:
        colour: How colour is kept.
    """

    def __init__(self, colour: ColourCoding) -> None:
        import zstandard

        self._colour = colour
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL)

    def pack(
        self,
        frame: Frame,
        *,
        arrived_ns: int,
        skipped: str | None = None,
        lines: tuple[str, ...] = (),
        poses: tuple[tuple[str, Float64], ...] = (),
    ) -> PackedFrame:
        """A frame, compressed; arguments as `PackedFrame`."""
        coding, values = _depth_values(frame.depth_m)
        return PackedFrame(
            index=int(frame.index),
            stamp_ns=int(frame.stamp_ns),
            arrived_ns=arrived_ns,
            size_px=frame.size_px,
            K=frame.K,
            colour=self._colour_bytes(frame.rgb),
            colour_coding=self._colour,
            depth=self._zstd.compress(values.data),
            depth_coding=coding,
            skipped=skipped,
            lines=lines,
            poses=poses,
        )

    def _colour_bytes(self, rgb: NDArray[np.uint8]) -> bytes:
        if self._colour is ColourCoding.LOSSLESS:
            return bytes(self._zstd.compress(np.ascontiguousarray(rgb).data))
        pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return code.tobytes()


def depth_of(values: NDArray[Any], coding: DepthCoding) -> NDArray[np.float32]:
    """Depth [m] of an image as it is stored, ``(H, W)``."""
    depth_m: NDArray[np.float32] = values.astype(np.float32)
    return depth_m * _METRES_PER_STEP if coding is DepthCoding.MILLIMETRES else depth_m


def _depth_values(depth_m: NDArray[np.float32]) -> tuple[DepthCoding, NDArray[Any]]:
    """Whole millimetres where those give the same depth again, bit by bit."""
    steps = np.rint(depth_m / _METRES_PER_STEP)
    if steps.size and steps.min() >= 0.0 and steps.max() <= np.iinfo(np.uint16).max:  # False for NaN
        whole = steps.astype(DepthCoding.MILLIMETRES.dtype)
        if np.array_equal(depth_of(whole, DepthCoding.MILLIMETRES), depth_m):
            return DepthCoding.MILLIMETRES, whole
    return DepthCoding.METRES, np.ascontiguousarray(depth_m, dtype=DepthCoding.METRES.dtype)


def _expanded(data: bytes) -> bytes:
    import zstandard

    return bytes(zstandard.ZstdDecompressor().decompress(data))
