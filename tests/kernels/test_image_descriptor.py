"""A recorded launch reads the image that the descriptor points to now, of whatever size."""

from __future__ import annotations

import numpy as np
import warp as wp

from storm_edge.kernels.device import require_device
from storm_edge.kernels.image_descriptor import ImageDescriptor, RgbdImage


@wp.kernel
def last_pixel(image: wp.array(dtype=RgbdImage), out: wp.array(dtype=wp.float32)):
    """Red and depth of the last pixel, and the size."""
    seen = image[0]
    row = seen.depth.shape[0] - 1
    column = seen.depth.shape[1] - 1
    out[0] = float(seen.rgb[row, column, 0])
    out[1] = seen.depth[row, column]
    out[2] = float(seen.rgb.shape[0])
    out[3] = float(seen.rgb.shape[1])


def images(height: int, width: int, red: int, depth_m: float) -> tuple[wp.array, wp.array]:
    rgb, depth = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.float32)
    rgb[-1, -1, 0], depth[-1, -1] = red, depth_m
    return wp.array(rgb, device="cpu"), wp.array(depth, device="cpu")


def test_a_recorded_launch_reads_the_assigned_image() -> None:
    descriptor = ImageDescriptor(require_device("cpu"))
    out = wp.zeros(4, dtype=wp.float32, device="cpu")
    command = wp.launch(last_pixel, dim=1, inputs=[descriptor.array, out], device="cpu", record_cmd=True)
    for height, width, red, depth_m in ((4, 6, 7, 0.5), (4, 6, 9, 0.25), (3, 5, 11, 1.5), (3, 5, 12, 2.0)):
        current = images(height, width, red, depth_m)
        for _ in range(2):  # the same again changes nothing
            descriptor.assign(*current)
            command.launch()
            np.testing.assert_array_equal(out.numpy(), [red, depth_m, height, width])
