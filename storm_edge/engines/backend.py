"""What runs the networks of a bundle. The choice is the user's and is kept: what is not here is an error."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

ENGINES = Path("engines/built")
"""Folder of all built engines, where none is named; no bundle's own, since an export replaces that as a whole."""


class Backend(str, Enum):
    """Runtimes that open a network."""

    ONNXRUNTIME = "onnxruntime"
    """The ONNX file, on a CPU or by CUDA."""
    TENSORRT = "tensorrt"
    """The engine that `storm-edge build` made of it, on a GPU."""
    TENSORRT_RTX = "tensorrt_rtx"
    """The same by TensorRT-RTX."""
    TORCH = "torch"
    """The ONNX file operator by operator in PyTorch, for development machines with neither."""

    @property
    def runs_engines(self) -> bool:
        """Whether it runs built engines, not ONNX files."""
        return self in (Backend.TENSORRT, Backend.TENSORRT_RTX)


def require_backend(backend: Backend, device: str) -> None:
    """Refuse a backend that is not here or does not run on ``device``, before the work begins.

    Raises:
        BackendError: The package is not installed, or the device is none of its.
    """
    if backend.runs_engines:
        from storm_edge.engines.backends.gpu import open_gpu
        from storm_edge.engines.backends.tensorrt_api import load_tensorrt

        load_tensorrt(backend.value)
        open_gpu(device)
    elif backend is Backend.TORCH:
        from storm_edge.engines.backends.torch import require_torch

        require_torch(device)
