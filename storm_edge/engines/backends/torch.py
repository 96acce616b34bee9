"""Engines on PyTorch, for development machines with neither TensorRT nor an ONNX Runtime for their GPU.

The one module of what a robot may run that imports PyTorch, and only when somebody names this backend: nothing falls
back to it. It runs a graph operator by operator and allocates in between; a launch on CUDA is enqueued on the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.backends.tensors import (
    FileTensor,
    check_count,
    check_names,
    checked_buffers,
    checked_inputs,
    engine_spec,
    file_tensor,
)
from storm_edge.engines.contract import Buffers, EngineSpec
from storm_edge.engines.manifest import file_sha256
from storm_edge.errors import BackendError, EngineError, mismatch


def require_torch(device: str) -> None:
    """Refuse a machine without PyTorch, or without its CUDA where that is asked for.

    Raises:
        BackendError: It is such a machine.
    """
    try:
        import onnx  # noqa: F401
        import torch
    except (ImportError, OSError) as error:  # missing libraries show as either
        remedy = "pip install 'storm-edge[export]', or use --backend onnxruntime"
        raise BackendError(mismatch("torch", error, "an installed package", remedy)) from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        remedy = "install PyTorch with CUDA, or use --device cpu"
        raise BackendError(mismatch("torch", f"device {device} and no CUDA", "a PyTorch that uses it", remedy))


class TorchEngine:
    """One ONNX file, ready to run.

    Args:
        path: The file.
        name: Network, for messages.
        device: ``cpu``, ``cuda`` or ``cuda:<i>``.
        names: Our name by the file's name, for tensors that are called otherwise there.

    Raises:
        EngineError: The file cannot be loaded, has an operator that is not known, or sizes other than the first vary.
        BackendError: PyTorch or the device is not here.
    """

    def __init__(self, path: Path, *, name: str, device: str = "cpu", names: Mapping[str, str] | None = None) -> None:
        require_torch(device)
        from storm_edge.networks.onnx_graph import OnnxGraph

        sha256 = file_sha256(path)
        self._graph, self._device = OnnxGraph(path, device), device
        declared = [*self._graph.inputs, *self._graph.outputs]
        check_names(path, [tensor for tensor, _, _ in declared], names or {})
        tensors = [file_tensor(path.name, t, dtype, shape, names or {}) for t, dtype, shape in declared]
        count = len(self._graph.inputs)
        self._inputs, self._outputs = tensors[:count], tensors[count:]
        self._spec = engine_spec(name, self._inputs, self._outputs, sha256)
        self._bound: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._capacity = 0

    @property
    def spec(self) -> EngineSpec:
        """Tensor names, types and shapes."""
        return self._spec

    def bind(self, buffers: Buffers) -> None:
        """Fix where inputs are read and outputs written; see `Engine.bind`."""
        import torch

        views, capacity = checked_buffers(self._spec, buffers)
        bound = {}
        for name, view in views.items():
            if view.on_cuda != self._device.startswith("cuda"):
                got, expected = ("a CUDA array", "CPU") if view.on_cuda else ("an array in CPU memory", "CUDA")
                what = f"buffers of {self._spec.name}: {name}"
                raise EngineError(mismatch(what, got, f"one in {expected} memory", "open it on that device"))
            array = buffers[name]
            # Both share the memory.
            bound[name] = torch.as_tensor(array, device=self._device) if view.on_cuda else _shared(np.asarray(array))
        self._bound, self._kept, self._capacity = bound, dict(buffers), capacity

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """Run on the first ``count`` rows; see `Engine.launch`.

        Raises:
            EngineError: Nothing is bound, or ``count`` is out of range.
        """
        count = self._capacity if count is None else count
        check_count(self._spec, count, self._capacity)
        if not self._device.startswith("cuda"):
            self._compute(count)
            return
        import torch
        import warp as wp

        handle = (stream or wp.get_stream(self._device)).cuda_stream
        with torch.cuda.stream(torch.cuda.ExternalStream(handle, self._device)):  # type: ignore[no-untyped-call]
            self._compute(count)

    def _compute(self, count: int) -> None:
        import torch

        with torch.inference_mode():
            found = self._graph({t.name: self._rows(t, count).reshape(t.sized(count)) for t in self._inputs})
            for tensor in self._outputs:
                rows = self._rows(tensor, count)
                rows.copy_(found[tensor.name].reshape(rows.shape))

    def _rows(self, tensor: FileTensor, count: int) -> Any:
        bound = self._bound[tensor.spec.name]
        return bound[:count] if None in tensor.spec.shape else bound

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on NumPy arrays; see `Engine.run`.

        Raises:
            EngineError: An input is missing, unknown, or of another type or shape.
        """
        import torch

        given = checked_inputs(self._spec, inputs)
        feed = {
            t.name: torch.from_numpy((a := given[t.spec.name]).reshape(t.sized(len(a)))).to(self._device)
            for t in self._inputs
        }
        with torch.inference_mode():
            found = self._graph(feed)
        arrays = {t.spec.name: (t, found[t.name].cpu().numpy()) for t in self._outputs}
        return {n: np.array(a).reshape(-1) if len(t.spec.shape) == 1 else np.array(a) for n, (t, a) in arrays.items()}


def _shared(array: NDArray[Any]) -> Any:
    """A tensor on the memory of an array."""
    import torch

    return torch.from_numpy(array)
