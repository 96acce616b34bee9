"""Depth images: clean, erode, smooth and back-project, on the whole image or only in a window of it.

The filter is upstream's (reference-networks 5.7): an erosion that drops pixels which few neighbours agree with, then
a bilateral mean that also fills holes. Its range term has a sigma of 1e5 m, which changes no float32 weight, so it is
left out. Numbers are a value (`DepthFilter`), `UPSTREAM_FILTER` being theirs; ``storm_edge.kernels.reference.depth``
says the same in NumPy. The depth that networks of ours are trained on is not filtered at all.
"""

from dataclasses import dataclass

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


@wp.kernel
def clean_kernel(depth: wp.array2d(dtype=wp.float32), far_m: float, out: wp.array2d(dtype=wp.float32)):
    """0 instead of anything that is not a reading."""
    row, column = wp.tid()
    out[row, column] = reading(depth[row, column], far_m)


@wp.kernel
def erode_kernel(
    depth: wp.array2d(dtype=wp.float32),
    first_column: int,
    first_row: int,
    end_column: int,
    span: int,
    radius: int,
    difference_m: float,
    ratio: float,
    far_m: float,
    out: wp.array2d(dtype=wp.float32),
):
    """Drop pixels that more than ``ratio`` of their window (cut at the image border, pixel included) contradicts."""
    row_index, chunk = wp.tid()
    row = first_row + row_index
    start = first_column + chunk * span
    top = wp.max(row - radius, 0)
    bottom = wp.min(row + radius, depth.shape[0] - 1)
    for column in range(start, wp.min(start + span, end_column)):
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
                bad_count += wp.where(other > 0.0 and wp.abs(other - z) <= difference_m, 0, 1)
        total = (bottom - top + 1) * (right - left + 1)
        out[row, column] = wp.where(float(bad_count) > ratio * float(total), 0.0, z)


@wp.kernel
def smooth_kernel(
    depth: wp.array2d(dtype=wp.float32),
    first_column: int,
    first_row: int,
    end_column: int,
    span: int,
    radius: int,
    weights: wp.array2d(dtype=wp.float32),
    gate_m: float,
    far_m: float,
    out: wp.array2d(dtype=wp.float32),
):
    """Weighted mean of the window's readings near their plain mean; also where the pixel itself has none."""
    row_index, chunk = wp.tid()
    row = first_row + row_index
    start = first_column + chunk * span
    top = wp.max(row - radius, 0)
    bottom = wp.min(row + radius, depth.shape[0] - 1)
    for column in range(start, wp.min(start + span, end_column)):
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
                near = z > 0.0 and wp.abs(z - mean) < gate_m
                weight = wp.where(near, weights[v - row + radius, u - column + radius], 0.0)
                weighted += weight * z
                weight_sum += weight
        out[row, column] = wp.where(weight_sum > 0.0, weighted / wp.max(weight_sum, 1.0e-12), 0.0)


@wp.kernel
def back_project_kernel(
    depth: wp.array2d(dtype=wp.float32),
    K: wp.array(dtype=wp.mat33f),
    first_column: int,
    first_row: int,
    end_column: int,
    span: int,
    far_m: float,
    xyz: wp.array2d(dtype=wp.vec3f),
):
    """Camera-frame point of every reading, 0 elsewhere."""
    row_index, chunk = wp.tid()
    row = first_row + row_index
    start = first_column + chunk * span
    k = K[0]
    y = (float(row) - k[1, 2]) / k[1, 1]
    for column in range(start, wp.min(start + span, end_column)):
        z = reading(depth[row, column], far_m)
        x = (float(column) - k[0, 2] - k[0, 1] * y) / k[0, 0]
        xyz[row, column] = wp.vec3f(x * z, y * z, z)


def clean(depth: WpArray, out: WpArray, *, far_m: float = UPSTREAM_FILTER.far_m) -> None:
    """Write 0 for everything in ``depth (H, W)`` that is not a reading into ``out``, which may be the same array."""
    wp.launch(clean_kernel, dim=depth.shape, inputs=[depth, far_m], outputs=[out], device=depth.device)


def back_project(
    depth: WpArray, K: WpArray, xyz: WpArray, *, window: Window | None = None, far_m: float = UPSTREAM_FILTER.far_m
) -> None:
    """Points [m] ``(H, W)`` vec3f of ``depth (H, W)`` seen by ``K (1,)`` mat33f, in ``window`` or everywhere."""
    first_column, first_row, width, height = checked_window(window, depth.shape)
    span = thread_span(depth.device, width)
    wp.launch(
        back_project_kernel,
        dim=(height, -(-width // span)),
        inputs=[depth, K, first_column, first_row, first_column + width, span, far_m],
        outputs=[xyz],
        device=depth.device,
    )


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
        self._weights: WpArray = wp.array(weights, dtype=wp.float32, device=device)

    def launch(self, depth: WpArray, window: Window | None = None) -> None:
        """Filter ``depth (H, W)`` [m] in ``window`` (None: the whole image) into `filtered`. Enqueues only."""
        x, y, w, h = checked_window(window, self._size_px)
        config, (height, width) = self.config, self._size_px
        # The smoothing looks `smooth_radius_px` beyond the window, so the erosion must have been there.
        margin = config.smooth_radius_px
        x0, y0 = max(x - margin, 0), max(y - margin, 0)
        x1, y1 = min(x + w + margin, width), min(y + h + margin, height)
        span = thread_span(self._device, x1 - x0)
        wp.launch(
            erode_kernel,
            dim=(y1 - y0, -(-(x1 - x0) // span)),
            inputs=[depth, x0, y0, x1, span, config.erode_radius_px]
            + [config.erode_difference_m, config.erode_ratio, config.far_m],
            outputs=[self._eroded],
            device=self._device,
        )
        span = thread_span(self._device, w)
        wp.launch(
            smooth_kernel,
            dim=(h, -(-w // span)),
            inputs=[self._eroded, x, y, x + w, span, config.smooth_radius_px, self._weights]
            + [config.smooth_gate_m, config.far_m],
            outputs=[self.filtered],
            device=self._device,
        )
