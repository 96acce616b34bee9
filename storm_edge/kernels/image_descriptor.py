"""Where the image of a recorded launch is in memory: a struct that kernels read, changed without a new recording.

A recorded launch holds the addresses of its arguments. On a CPU an image need not be copied to be read by kernels,
but every frame then has an address of its own. Kernels that take a `RgbdImage` find it there.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from storm_edge.kernels.device import Device, WpArray


@wp.struct
class RgbdImage:
    """An RGB-D image, depth aligned to colour."""

    rgb: wp.array3d(dtype=wp.uint8)
    depth: wp.array2d(dtype=wp.float32)


class ImageDescriptor:
    """One `RgbdImage` in CPU memory, changed from the host.

    Args:
        device: The CPU.

    Attributes:
        array: What kernels are given, ``(1,)`` of `RgbdImage`.
    """

    def __init__(self, device: Device) -> None:
        self.array: WpArray = wp.array([RgbdImage()], dtype=RgbdImage, device=device)
        self._assigned: tuple[WpArray, WpArray] = (None, None)
        self._form: tuple[Any, ...] | None = None
        self._fields = self.array.numpy()
        self._addresses = [self._fields[name]["data"] for name in ("rgb", "depth")]

    def assign(self, rgb: WpArray, depth: WpArray) -> None:
        """Colour ``(H, W, 3)`` uint8 and depth [m] ``(H, W)`` float32 from now on; both are kept alive."""
        if self._assigned[0] is rgb and self._assigned[1] is depth:
            return
        self._assigned = rgb, depth
        form = rgb.shape, rgb.strides, depth.shape, depth.strides
        if form != self._form:
            self._form = form
            image: Any = RgbdImage()
            image.rgb, image.depth = rgb, depth
            self._fields[0] = image.numpy_value()
        else:
            self.set_addresses(rgb.ptr, depth.ptr)

    def set_addresses(self, rgb_address: int, depth_address: int) -> None:
        """The same sizes in other memory, which the caller keeps alive: all that differs from frame to frame."""
        self._addresses[0][0], self._addresses[1][0] = rgb_address, depth_address
