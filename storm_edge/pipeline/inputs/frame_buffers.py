"""One RGB-D image on the device, and its depth after a filter.

Every stage reads the image from here. Called by whoever owns the image of a step: the live loop, searches, replay.
"""

from __future__ import annotations

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import FrameError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.camera import check_K
from storm_edge.kernels.depth import DepthFilter, DepthFilterBuffers, Window
from storm_edge.kernels.device import Device, HostSide, WpArray, ZeroCopyView, require_device
from storm_edge.kernels.image_descriptor import ImageDescriptor

Float64 = NDArray[np.float64]


class FrameBuffers:
    """One RGB-D image on the device; allocated for one size, `upload` replaces the image.

    On a CPU kernels read a frame's own memory, where that has the form: what is in it must stay until the next
    `upload`, and ``rgb`` and ``depth`` are other arrays after each.

    Args:
        height: Rows of the images [px].
        width: Columns of the images [px].
        device: ``"cpu"``, ``"cuda"``, ``"cuda:<i>"``, or a Warp device.
        images: Arrays to use as ``rgb``, ``depth`` and ``K_device``; made here if not given.

    Attributes:
        descriptor: Where colour and depth are in memory, for kernels that read it there; None except on a CPU.
        K: Intrinsics on the host [px], ``(3, 3)`` float64.
        K_device: The same, ``(1,)`` mat33d.
    """

    def __init__(
        self,
        height: int,
        width: int,
        device: str | Device = "cpu",
        *,
        images: tuple[WpArray, WpArray, WpArray] | None = None,
    ) -> None:
        self.size_px = (height, width)
        self.device: Device = require_device(device) if isinstance(device, str) else device
        self.K: Float64 = np.eye(3)
        self.K_device: WpArray
        rgb, depth, self.K_device = images or (
            wp.zeros((height, width, 3), dtype=wp.uint8, device=self.device),
            wp.zeros((height, width), dtype=wp.float32, device=self.device),
            wp.array(self.K[None], dtype=wp.mat33d, device=self.device),
        )
        self._rgb, self._depth = ZeroCopyView(rgb), ZeroCopyView(depth)
        self.descriptor: ImageDescriptor | None = None
        if self.device.is_cpu:
            self.descriptor = ImageDescriptor(self.device)
            self.descriptor.assign(rgb, depth)
        self._K_bytes = b""
        self._K_host = HostSide(self.K_device)
        self._filters: dict[DepthFilter, DepthFilterBuffers] = {}
        self._filtered_windows: dict[DepthFilter, Window] = {}

    @property
    def rgb(self) -> WpArray:
        """Colour, ``(H, W, 3)`` uint8."""
        return self._rgb.array

    @property
    def depth(self) -> WpArray:
        """z-depth as it came [m], ``(H, W)`` float32, 0 = no reading."""
        return self._depth.array

    def upload(self, frame: Frame) -> None:
        """Replace the image.

        Raises:
            FrameError: The frame has another size than these buffers.
            CameraError: Its intrinsics are others than the last frame's, and no camera has them.
        """
        self._check_size(frame)
        K_bytes = frame.K.tobytes()
        if K_bytes != self._K_bytes:
            self.K = np.array(check_K(frame.K, what=f"frame {frame.index} K"))
            self._K_bytes = K_bytes
            self._K_host.write(self.K[None])
        self._rgb.assign(frame.rgb)
        self._depth.assign(frame.depth_m)
        if self.descriptor is not None:
            self.descriptor.set_addresses(self._rgb.address, self._depth.address)
        self.forget_filtered()

    def _check_size(self, frame: Frame) -> None:
        if frame.size_px != self.size_px:
            remedy = "make the buffers anew when a camera changes its resolution"
            raise FrameError(mismatch(f"frame {frame.index}", f"{frame.size_px}", f"{self.size_px} [px]", remedy))

    def forget_filtered(self) -> None:
        """Drop what was filtered: the depth is another one."""
        self._filtered_windows.clear()

    def is_filtered(self, config: DepthFilter) -> bool:
        """Whether the whole image was filtered since the last upload."""
        height, width = self.size_px
        return self._filtered_windows.get(config) == (0, 0, width, height)

    def filtered_depth(self, config: DepthFilter, window: Window | None = None) -> WpArray:
        """Depth after ``config``, ``(H, W)`` float32 [m], up to date at least inside ``window`` (None: everywhere).

        What was filtered since the last upload is not filtered again when the window lies within it.
        """
        height, width = self.size_px
        x, y, w, h = window if window is not None else (0, 0, width, height)
        if config not in self._filters:
            self._filters[config] = DepthFilterBuffers(height, width, config, self.device)
        buffers = self._filters[config]
        done = self._filtered_windows.get(config)
        if done is not None:
            if x >= done[0] and y >= done[1] and x + w <= done[0] + done[2] and y + h <= done[1] + done[3]:
                return buffers.filtered
            right, bottom = max(x + w, done[0] + done[2]), max(y + h, done[1] + done[3])
            x, y = min(x, done[0]), min(y, done[1])
            w, h = right - x, bottom - y
        buffers.launch(self.depth, (x, y, w, h))
        self._filtered_windows[config] = (x, y, w, h)
        return buffers.filtered
