"""Dead ends: places that were looked at and were not the object, for as long as they look as they did.

While an object is hidden, what resembles it most stays where it is, and a search that registers it again in every
image is busy when the object comes back. So a search remembers what it turned down: the pixels, their depth and
their colours. A candidate that covers the same pixels, still of the same depth and colours, would get the same
answer, and is not asked again for a while; whatever moved, or came into view since, is.

The memory is of one camera's images. When the camera moves, pixels change and everything is looked at again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame


@dataclass(frozen=True, kw_only=True)
class RejectedRegionsConfig:
    """When a place counts as the same."""

    memory_s: float = 2.0
    """A place is looked at again after this time even if nothing changed there [s]: noise differs, and an answer was
    wrong now and then."""
    max_count: int = 32
    """Places that are remembered; the oldest is forgotten first."""
    min_iou: float = 0.5
    """Intersection over union from which two masks are of one place: masks of the same thing in two images differ."""
    min_unchanged_share: float = 0.8
    """Share of the pixels of both masks that must look as they did."""
    depth_tolerance_share: float = 0.02
    """Depth that differs by no more than this share looks the same, or ..."""
    depth_tolerance_m: float = 0.01
    """... by no more than this, a depth camera's noise [m]."""
    colour_tolerance: float = 30.0
    """So does a mean difference of red, green and blue of no more than this, of 255."""


_MOST_PX = 10_000  # kept of a place; of a larger one every so manieth row and column


@dataclass(frozen=True, kw_only=True)
class _Place:
    rows: slice
    columns: slice
    step: int
    mask: NDArray[np.bool_]
    depth_m: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    stamp_ns: int


class RejectedRegions:
    """What was turned down of one object; pictures of it are copies, up to 80 kB each, in memory taken once: blocks
    that come and go between images of a megabyte leave holes in which those do not fit."""

    def __init__(self, config: RejectedRegionsConfig | None = None) -> None:
        self._config = config or RejectedRegionsConfig()
        most = self._config.max_count
        self._places: deque[_Place] = deque(maxlen=most)
        self._mask = np.zeros((most, _MOST_PX), dtype=np.bool_)
        self._depth_m = np.zeros((most, _MOST_PX), dtype=np.float32)
        self._rgb = np.zeros((most, _MOST_PX, 3), dtype=np.uint8)
        self._next = 0

    def add(self, frame: Frame, mask: NDArray[np.bool_]) -> None:
        """Remember that what a mask ``(H, W)`` marks in a frame is not the object."""
        v, u = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(v):
            return
        step = 1
        while (height := len(range(v[0], v[-1] + 1, step))) * (width := len(range(u[0], u[-1] + 1, step))) > _MOST_PX:
            step += 1
        rows, columns = slice(int(v[0]), int(v[-1]) + 1, step), slice(int(u[0]), int(u[-1]) + 1, step)
        slot, size, self._next = self._next, height * width, (self._next + 1) % self._config.max_count
        place = _Place(
            rows=rows,
            columns=columns,
            step=step,
            mask=self._mask[slot, :size].reshape(height, width),
            depth_m=self._depth_m[slot, :size].reshape(height, width),
            rgb=self._rgb[slot, :size].reshape(height, width, 3),
            stamp_ns=frame.stamp_ns,
        )
        place.mask[:] = mask[rows, columns]
        place.depth_m[:] = frame.depth_m[rows, columns]
        place.rgb[:] = frame.rgb[rows, columns]
        self._places.append(place)  # the oldest, whose memory this was, goes

    def contains(self, frame: Frame, mask: NDArray[np.bool_]) -> bool:
        """Whether what a mask ``(H, W)`` marks in a frame was turned down lately and looks as it did."""
        area_px = int(mask.sum())
        oldest_ns = frame.stamp_ns - round(self._config.memory_s * 1e9)
        return any(
            place.stamp_ns >= oldest_ns and self._is_there(place, frame, mask, area_px) for place in self._places
        )

    def clear(self) -> None:
        """Forget all of it."""
        self._places.clear()

    def _is_there(self, place: _Place, frame: Frame, mask: NDArray[np.bool_], area_px: int) -> bool:
        config = self._config
        if mask.shape != frame.depth_m.shape or place.rows.stop > mask.shape[0] or place.columns.stop > mask.shape[1]:
            return False
        now = mask[place.rows, place.columns]
        common = int((now & place.mask).sum())
        if common == 0 or common < config.min_iou * (area_px / place.step**2 + int(place.mask.sum()) - common):
            return False
        either = now | place.mask
        depth_m, was_m = frame.depth_m[place.rows, place.columns][either], place.depth_m[either]
        gate_m = np.maximum(np.float32(config.depth_tolerance_share) * was_m, np.float32(config.depth_tolerance_m))
        # Cameras read no depth now here, now there: then colour decides.
        alike = (np.abs(depth_m - was_m) <= gate_m) | (depth_m == 0.0) | (was_m == 0.0)
        rgb, was = frame.rgb[place.rows, place.columns][either], place.rgb[either]
        alike &= np.abs(rgb.astype(np.int16) - was).mean(axis=1) <= config.colour_tolerance
        return bool(alike.mean() >= config.min_unchanged_share)
