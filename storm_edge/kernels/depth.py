"""Depth images: erode and smooth, the whole image or only a window of it.

The filter is upstream's (reference-networks 5.7): an erosion that drops pixels which few neighbours agree with, then
a bilateral mean that also fills holes. Its range term has a sigma of 1e5 m, which changes no float32 weight, so it is
left out. Its numbers are a `DepthFilter`, upstream's the `UPSTREAM_FILTER`; `storm_edge.kernels.reference.depth`
is the same in NumPy. The nano networks are trained on depth that is not filtered.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from storm_edge.errors import InputError, mismatch
from storm_edge.kernels.device import Device, WpArray, thread_span

wp.set_module_options({"enable_backward": False})

MIN_DEPTH_M = 0.001
"""Readings below this are none (upstream)."""


@dataclass(frozen=True, kw_only=True)
class DepthFilter:
    """Numbers of the depth filter; the defaults are upstream's."""

    erode_radius_px: int = 2
    """Half width of the erosion's window [px]; 0 turns it off."""
    erode_difference_m: float = 0.001
    """Neighbours farther than this from the pixel disagree [m]."""
    erode_ratio: float = 0.8
    """A pixel goes when more than this share of its window is without reading or disagrees."""
    smooth_radius_px: int = 2
    """Half width of the bilateral window [px]; 0 turns it off."""
    smooth_sigma_px: float = 2.0
    """Width of the bilateral weights [px]."""
    smooth_gate_m: float = 0.01
    """Neighbours farther than this from the window's mean are left out [m]."""
    far_m: float = 100.0
    """Readings from here on are none [m]."""


UPSTREAM_FILTER = DepthFilter()

Window = tuple[int, int, int, int]
"""Part of an image: first column, first row, width, height [px]."""


@wp.func
def reading(z: float, far_m: float) -> float:
    """z where it is a reading, else 0: NaN, infinite, negative, tiny and far ones are none."""
    return wp.where(z >= wp.static(MIN_DEPTH_M) and z < far_m, z, 0.0)


@wp.struct
class FilterRule:
    """A `DepthFilter` as kernels read it."""

    erode_radius: int
    erode_difference_m: float
    erode_ratio: float
    smooth_radius: int
    smooth_weights: wp.array2d(dtype=wp.float32)
    smooth_gate_m: float
    far_m: float


@wp.kernel
def erode_kernel(
    depth: wp.array2d(dtype=wp.float32),
    part: wp.vec4i,
    rule: FilterRule,
    out: wp.array2d(dtype=wp.float32),
):
    """Drop pixels that more than ``erode_ratio`` of their window contradicts; the window is cut at the border.

    Args:
        depth: z-depth [m].
        part: First column, first row, end column, and columns per thread.
        rule: The filter.
        out: Depth, 0 for what was dropped [m].
    """
    row_index, chunk = wp.tid()
    row = part[1] + row_index
    start = part[0] + chunk * part[3]
    radius = rule.erode_radius
    far_m = rule.far_m
    top = wp.max(row - radius, 0)
    bottom = wp.min(row + radius, depth.shape[0] - 1)
    for column in range(start, wp.min(start + part[3], part[2])):
        z = reading(depth[row, column], far_m)
        if z == 0.0:
            out[row, column] = 0.0
            continue
        left = wp.max(column - radius, 0)
        right = wp.min(column + radius, depth.shape[1] - 1)
        bad_count = int(0)  # noqa: RUF046 - int() makes a Warp variable that loops may change
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                other = reading(depth[v, u], far_m)
                bad_count += wp.where(other > 0.0 and wp.abs(other - z) <= rule.erode_difference_m, 0, 1)
        total = (bottom - top + 1) * (right - left + 1)
        out[row, column] = wp.where(float(bad_count) > rule.erode_ratio * float(total), 0.0, z)


@wp.kernel
def smooth_kernel(
    depth: wp.array2d(dtype=wp.float32),
    part: wp.vec4i,
    rule: FilterRule,
    out: wp.array2d(dtype=wp.float32),
):
    """Weighted mean of the window's readings near their plain mean, also where the pixel itself has none.

    Arguments as of `erode_kernel`.
    """
    row_index, chunk = wp.tid()
    row = part[1] + row_index
    start = part[0] + chunk * part[3]
    radius = rule.smooth_radius
    far_m = rule.far_m
    top = wp.max(row - radius, 0)
    bottom = wp.min(row + radius, depth.shape[0] - 1)
    for column in range(start, wp.min(start + part[3], part[2])):
        left = wp.max(column - radius, 0)
        right = wp.min(column + radius, depth.shape[1] - 1)
        total = float(0.0)
        count = float(0.0)
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                z = reading(depth[v, u], far_m)
                total += z
                count += wp.where(z > 0.0, 1.0, 0.0)
        mean = total / wp.max(count, 1.0)
        weighted = float(0.0)
        weight_sum = float(0.0)
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                z = reading(depth[v, u], far_m)
                near = z > 0.0 and wp.abs(z - mean) < rule.smooth_gate_m
                weight = wp.where(near, rule.smooth_weights[v - row + radius, u - column + radius], 0.0)
                weighted += weight * z
                weight_sum += weight
        out[row, column] = wp.where(weight_sum > 0.0, weighted / wp.max(weight_sum, 1.0e-12), 0.0)


def checked_window(window: Window | None, image_size_px: tuple[int, int]) -> Window:
    """The window itself, or the whole image for None.

    Raises:
        InputError: The window leaves the image or is empty.
    """
    height, width = image_size_px
    if window is None:
        return 0, 0, width, height
    x, y, w, h = window
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise InputError(mismatch("depth window", window, f"a part of {width}x{height} px", "clip it to the image"))
    return window


class DepthFilterBuffers:
    """Applies a `DepthFilter` to depth images of one size; buffers are allocated here, `launch` only launches.

    Attributes:
        filtered: The last result [m], ``(H, W)`` float32; only the windows asked for are up to date.
    """

    def __init__(self, height: int, width: int, config: DepthFilter, device: Device) -> None:
        self.config = config
        self._size_px = (height, width)
        self._device = device
        self._eroded: WpArray = wp.zeros((height, width), dtype=wp.float32, device=device)
        self.filtered: WpArray = wp.zeros((height, width), dtype=wp.float32, device=device)
        radius = config.smooth_radius_px
        offset = np.arange(-radius, radius + 1, dtype=np.float64)
        squared = offset[:, None] ** 2 + offset[None] ** 2
        weights = np.exp(-squared / (2.0 * config.smooth_sigma_px**2)).astype(np.float32)
        rule: Any = FilterRule()
        rule.erode_radius, rule.erode_difference_m = config.erode_radius_px, config.erode_difference_m
        rule.erode_ratio, rule.smooth_radius, rule.far_m = config.erode_ratio, radius, config.far_m
        rule.smooth_weights = wp.array(weights, dtype=wp.float32, device=device)
        rule.smooth_gate_m = config.smooth_gate_m
        self._rule = rule

    def launch(self, depth: WpArray, window: Window | None = None) -> None:
        """Filter ``depth (H, W)`` [m] in ``window`` (None: the whole image) into `filtered`. Enqueues only."""
        x, y, w, h = checked_window(window, self._size_px)
        config, (height, width) = self.config, self._size_px
        # The smoothing reads `smooth_radius_px` beyond the window, so the erosion must have been there.
        margin = config.smooth_radius_px
        x0, y0 = max(x - margin, 0), max(y - margin, 0)
        x1, y1 = min(x + w + margin, width), min(y + h + margin, height)
        span = thread_span(self._device, x1 - x0)
        wp.launch(
            erode_kernel,
            dim=(y1 - y0, -(-(x1 - x0) // span)),
            inputs=[depth, wp.vec4i(x0, y0, x1, span), self._rule],
            outputs=[self._eroded],
            device=self._device,
        )
        span = thread_span(self._device, w)
        wp.launch(
            smooth_kernel,
            dim=(h, -(-w // span)),
            inputs=[self._eroded, wp.vec4i(x, y, x + w, span), self._rule],
            outputs=[self.filtered],
            device=self._device,
        )
