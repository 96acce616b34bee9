"""Engines on TensorRT: bound once, then only enqueued. Needs a CUDA device.

`Engine.launch` allocates nothing and waits for nothing; it may be captured into a CUDA graph. TensorRT answers most
calls with a plain False and a line in its log: here each answer is looked at, and after a launch that failed the
engine runs no more, for a CUDA error leaves its contexts undefined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.backends import gpu as cuda
from storm_edge.engines.backends.tensorrt.api import TensorRt
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
from storm_edge.engines.engine_file import check_fits, read_engine
from storm_edge.errors import EngineError, mismatch

_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


@dataclass(frozen=True, kw_only=True)
class ShapeProfile:
    """One optimisation profile and the context that runs it."""

    context: Any
    """TensorRT's execution context."""
    least: int
    """Rows it admits at least."""
    most: int
    """Rows it admits at most."""


def profile_for(profiles: Sequence[ShapeProfile], count: int, *, what: str) -> ShapeProfile:
    """The tightest profile that admits ``count`` rows.

    Raises:
        EngineError: None does.
    """
    fitting = [p for p in profiles if p.least <= count <= p.most]
    if not fitting:
        ranges = [f"{p.least} to {p.most}" for p in profiles]
        remedy = "use smaller chunks, or widen the recipe's profiles and build again"
        raise EngineError(mismatch(f"{what}: batch", count, " or ".join(ranges), remedy))
    return min(fitting, key=lambda p: p.most)


class TensorRtEngine:
    """One engine, ready to run.

    Args:
        path: The engine; its manifest lies beside it.
        api: TensorRT of the kind and version it was built with.
        gpu: Where it runs.
        names: Our name by the file's name, for tensors that are called otherwise there.

    Raises:
        EngineError: The file was changed, or is of another TensorRT or GPU.
    """

    capturable = True
    """A launch only enqueues on the stream it is given, so it may be captured into a CUDA graph."""

    def __init__(self, path: Path, *, api: TensorRt, gpu: cuda.Gpu, names: Mapping[str, str] | None = None) -> None:
        data, manifest = read_engine(path)
        check_fits(path, manifest["key"], api, gpu.target)
        self._path, self._gpu, self._trt = path, gpu, api.module
        self._logger = api.logger()
        with wp.ScopedDevice(gpu.device):
            self._runtime = self._trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(data)
            if self._engine is None:
                raise EngineError(
                    mismatch(path, self._logger.cause(), "an engine this GPU can load", "build it again")
                )
            tensors = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
            check_names(path, tensors, names or {})
            self._inputs = self._declared(tensors, "INPUT", names or {})
            self._outputs = self._declared(tensors, "OUTPUT", names or {})
            self._profiles = [self._profile(index) for index in range(self._engine.num_optimization_profiles)]
        key = manifest["key"]
        self._spec = engine_spec(str(key["graph"]), self._inputs, self._outputs, str(key["onnx_sha256"]))
        self._varying = [t for t in self._inputs if None in t.shape]
        self._kept: dict[str, Any] = {}
        self._addresses: dict[str, int] = {}
        self._capacity = 0
        self._failed = False

    @property
    def spec(self) -> EngineSpec:
        """Tensor names, types and shapes."""
        return self._spec

    def _declared(self, tensors: Sequence[str], mode: str, names: Mapping[str, str]) -> list[FileTensor]:
        wanted = getattr(self._trt.TensorIOMode, mode)
        return [
            file_tensor(
                self._path.name,
                name,
                np.dtype(_DTYPES[self._engine.get_tensor_dtype(name).name]),
                [None if n == -1 else int(n) for n in self._engine.get_tensor_shape(name)],
                names,
            )
            for name in tensors
            if self._engine.get_tensor_mode(name) == wanted
        ]

    def _profile(self, index: int) -> ShapeProfile:
        """A context of its own for each profile: switching one would have to wait for the stream."""
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(mismatch(self._path, self._logger.cause(), "memory to run it", "close other programs"))
        self._agreed(context.set_optimization_profile_async(index, self._gpu.handle()), f"profile {index}")
        self._gpu.wait()
        ranges = [
            self._engine.get_tensor_profile_shape(tensor.name, index)
            for tensor in self._inputs
            if None in tensor.shape
        ]
        at = [tensor.shape.index(None) for tensor in self._inputs if None in tensor.shape]
        least = max((int(low[i]) for (low, _, _), i in zip(ranges, at, strict=True)), default=1)
        most = min((int(high[i]) for (_, _, high), i in zip(ranges, at, strict=True)), default=1)
        return ShapeProfile(context=context, least=least, most=most)

    def _agreed(self, done: bool, what: str) -> None:
        """Refuse to go on after a call that TensorRT answered with False."""
        if not done:
            got = f"{what} refused: {self._logger.cause()}"
            raise EngineError(mismatch(self._path, got, "an engine that runs", "build it again"))

    def bind(self, buffers: Buffers) -> None:
        """Fix where inputs are read and outputs written; see `Engine.bind`."""
        views, capacity = checked_buffers(self._spec, buffers)
        for name, view in views.items():
            if not self._gpu.holds(view):
                what = f"buffers of {self._spec.name}: {name}"
                raise EngineError(mismatch(what, "an array in CPU memory", "a CUDA array", "put it on cuda"))
        addresses = {t.name: views[t.spec.name].address for t in (*self._inputs, *self._outputs)}
        self._profile_for(capacity)
        self._point_at(addresses)
        self._capacity, self._kept, self._addresses = capacity, dict(buffers), addresses

    def _point_at(self, addresses: Mapping[str, int]) -> None:
        for profile in self._profiles:
            for name, address in addresses.items():
                self._agreed(profile.context.set_tensor_address(name, address), f"address of {name}")

    def _profile_for(self, count: int) -> ShapeProfile:
        """The profile that runs ``count`` rows."""
        return profile_for(self._profiles, count, what=self._spec.name) if self._varying else self._profiles[0]

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """Enqueue the first ``count`` rows; see `Engine.launch`.

        Raises:
            EngineError: Nothing is bound, no profile admits ``count``, or a launch failed, now or earlier.
        """
        count = self._capacity if count is None else count
        check_count(self._spec, count, self._capacity)
        self._enqueue(count, stream)

    def _enqueue(self, count: int, stream: Any) -> None:
        what = f"launch of {self._spec.name}"
        if self._failed:
            raise EngineError(mismatch(what, "a launch after one that failed", "an engine that runs", "open it anew"))
        context = self._profile_for(count).context
        for tensor in self._varying:
            self._agreed(context.set_input_shape(tensor.name, tuple(tensor.sized(count))), f"{count} rows")
        if not context.execute_async_v3(self._gpu.handle(stream)):
            self._failed = True
            raise EngineError(
                mismatch(what, self._logger.cause(), "an engine that runs", "open it anew, or build it again")
            )

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on NumPy arrays; see `Engine.run`.

        Raises:
            EngineError: An input is missing or unknown; or as `bind` and `launch`.
        """
        given = checked_inputs(self._spec, inputs)
        counts = sorted({len(given[t.spec.name]) for t in self._varying})
        if len(counts) > 1:
            what = f"inputs of {self._spec.name}"
            raise EngineError(mismatch(what, f"first sizes {counts}", "one size", "give as many rows of each"))
        count = counts[0] if counts else 1
        self._profile_for(count)
        staged = {}
        for tensor in self._inputs:
            flat = given[tensor.spec.name].reshape(-1)  # Warp has no five axes
            staged[tensor.name] = wp.array(flat, device=self._gpu.device)
        for tensor in self._outputs:
            zeros = np.zeros(int(np.prod(tensor.sized(count))), dtype=tensor.spec.dtype)
            staged[tensor.name] = wp.array(zeros, device=self._gpu.device)
        self._point_at({name: array.ptr for name, array in staged.items()})
        self._enqueue(count, None)
        self._gpu.wait()
        self._point_at(self._addresses)  # what a loop has bound stays bound
        return {
            t.spec.name: np.array(staged[t.name].numpy()).reshape([count if n is None else n for n in t.spec.shape])
            for t in self._outputs
        }
