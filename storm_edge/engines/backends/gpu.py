"""The CUDA device that engines run on: what it is, what lies in its memory, and its streams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warp as wp

from storm_edge.engines.backends.tensors import ArrayView
from storm_edge.errors import BackendError, mismatch
from storm_edge.kernels.device import require_device

_L4T = Path("/etc/nv_tegra_release")


@dataclass(frozen=True, kw_only=True)
class GpuTarget:
    """A GPU, as far as an engine built for it cares."""

    sm: str
    """Its compute capability: ``sm86``."""
    gpu: str
    """Its name; ``any`` for one that is not here."""
    system: str
    """CUDA driver and, on a Jetson, its L4T release; ``any`` likewise."""


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
        self.target: GpuTarget = target

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


def device_target(name: str = "cuda:0") -> GpuTarget | None:
    """A GPU of this machine, None without one."""
    require_device("cpu")  # starts Warp without its greeting
    if not wp.is_cuda_available():
        return None
    device = wp.get_device(name)
    driver = ".".join(str(part) for part in wp.get_cuda_driver_version())
    l4t = _L4T.read_text(encoding="utf-8").splitlines()[0] if _L4T.is_file() else ""
    return GpuTarget(sm=f"sm{device.arch}", gpu=str(device.name), system=f"driver {driver} {l4t}".strip())
