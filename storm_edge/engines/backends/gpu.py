"""The CUDA device that engines run on, as much of it as they need: what lies in its memory, and its streams."""

from __future__ import annotations

from typing import Any

import warp as wp

from storm_edge.engines.backends.array_view import ArrayView
from storm_edge.engines.backends.targets import Target, device_target
from storm_edge.errors import BackendError, mismatch
from storm_edge.kernels.device import require_device


class Gpu:
    """A CUDA device.

    Args:
        name: ``cuda`` or ``cuda:<i>``.

    Raises:
        BackendError: It is not one, or not here.
    """

    def __init__(self, name: str) -> None:
        if not name.startswith("cuda"):
            raise BackendError(mismatch("TensorRT", f"device {name}", "cuda or cuda:<i>", "add --device cuda"))
        self.device = require_device(name)
        target = device_target(str(self.device.alias))
        assert target is not None  # `require_device` has refused a machine without CUDA
        self.target: Target = target

    def holds(self, view: ArrayView) -> bool:
        """Whether an array lies in its memory."""
        return view.on_cuda

    def handle(self, stream: Any = None) -> int:
        """CUDA's handle of a Warp stream, the device's current one if not given."""
        return int((stream or wp.get_stream(self.device)).cuda_stream)

    def wait(self) -> None:
        """Until all that was put on the current stream is done."""
        wp.synchronize_stream(wp.get_stream(self.device))


def open_gpu(name: str) -> Gpu:
    """The CUDA device of that name; see `Gpu`."""
    return Gpu(name)
