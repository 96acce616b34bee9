"""Rejected regions: regions that were registered and were not the object, for as long as they are unchanged.

While an object is hidden, what resembles it most stays where it is, and a search that registers it again in every
image is busy when the object comes back. So a search remembers what it rejected: the pixels, their depth and their
colours. A candidate that covers the same pixels, still of the same depth and colours, would get the same answer, and
is left out for a while; whatever moved, or came into view since, is not.

The memory is of one camera's images. When the camera moves, pixels change and everything is tried again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.pipeline.reacquire.config import RejectedRegionsConfig


@dataclass(frozen=True, kw_only=True)
class _Region:
    rows: slice
    columns: slice
    step: int
    mask: NDArray[np.bool_]
    depth_m: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    stamp_ns: int


class RejectedRegions:
    """What was rejected of one object.

    Regions are copies, up to 80 kB each, in memory taken once: blocks that come and go between images of a megabyte
    leave holes in which those do not fit.

    Args:
        config: How much is remembered, and for how long.
    """

    def __init__(self, config: RejectedRegionsConfig) -> None:
        self._config = config
        most, max_px = config.max_count, config.max_px
        self._regions: deque[_Region] = deque(maxlen=most)
        self._mask = np.zeros((most, max_px), dtype=np.bool_)
        self._depth_m = np.zeros((most, max_px), dtype=np.float32)
        self._rgb = np.zeros((most, max_px, 3), dtype=np.uint8)
        self._next = 0

    def add(self, frame: Frame, mask: NDArray[np.bool_]) -> None:
        """Remember that what a mask ``(H, W)`` marks in a frame is not the object."""
        v, u = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(v):
            return
        step, max_px = 1, self._config.max_px
        while (height := len(range(v[0], v[-1] + 1, step))) * (width := len(range(u[0], u[-1] + 1, step))) > max_px:
            step += 1
        rows, columns = slice(int(v[0]), int(v[-1]) + 1, step), slice(int(u[0]), int(u[-1]) + 1, step)
        slot, size, self._next = self._next, height * width, (self._next + 1) % self._config.max_count
        region = _Region(
            rows=rows,
            columns=columns,
            step=step,
            mask=self._mask[slot, :size].reshape(height, width),
            depth_m=self._depth_m[slot, :size].reshape(height, width),
            rgb=self._rgb[slot, :size].reshape(height, width, 3),
            stamp_ns=frame.stamp_ns,
        )
        region.mask[:] = mask[rows, columns]
        region.depth_m[:] = frame.depth_m[rows, columns]
        region.rgb[:] = frame.rgb[rows, columns]
        self._regions.append(region)  # the oldest, whose memory this was, goes

    def contains(self, frame: Frame, mask: NDArray[np.bool_]) -> bool:
        """Whether what a mask ``(H, W)`` marks in a frame was rejected lately and is unchanged."""
        area_px = int(mask.sum())
        oldest_ns = frame.stamp_ns - round(self._config.memory_s * 1e9)
        return any(
            region.stamp_ns >= oldest_ns and self._is_unchanged(region, frame, mask, area_px)
            for region in self._regions
        )

    def clear(self) -> None:
        """Forget all of it."""
        self._regions.clear()

    def _is_unchanged(self, region: _Region, frame: Frame, mask: NDArray[np.bool_], area_px: int) -> bool:
        config = self._config
        if (
            mask.shape != frame.depth_m.shape
            or region.rows.stop > mask.shape[0]
            or region.columns.stop > mask.shape[1]
        ):
            return False
        now = mask[region.rows, region.columns]
        common = int((now & region.mask).sum())
        if common == 0 or common < config.min_iou * (area_px / region.step**2 + int(region.mask.sum()) - common):
            return False
        either = now | region.mask
        depth_m, was_m = frame.depth_m[region.rows, region.columns][either], region.depth_m[either]
        gate_m = np.maximum(np.float32(config.depth_tolerance_share) * was_m, np.float32(config.depth_tolerance_m))
        # Cameras read no depth now here, now there: then colour decides.
        alike = (np.abs(depth_m - was_m) <= gate_m) | (depth_m == 0.0) | (was_m == 0.0)
        rgb, was = frame.rgb[region.rows, region.columns][either], region.rgb[either]
        alike &= np.abs(rgb.astype(np.int16) - was).mean(axis=1) <= config.colour_tolerance
        return bool(alike.mean() >= config.min_unchanged_share)
