"""Engines on TensorRT: bound once, then only enqueued. Needs a CUDA device.

`Engine.launch` allocates nothing and waits for nothing; it may be captured into a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.spec import Buffers, EngineSpec, TensorSpec
from storm_edge.engines.store import check_fits, read_engine
from storm_edge.engines.targets import device_target
from storm_edge.engines.tensorrt_api import TensorRt
from storm_edge.engines.views import view_of
from storm_edge.errors import BackendError, EngineError, bad

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
class Profile:
    """One optimisation profile and the context that runs it."""

    context: Any
    """TensorRT's execution context."""
    least: int
    """Rows it admits at least."""
    most: int
    """Rows it admits at most."""


def profile_for(profiles: Sequence[Profile], count: int, *, what: str) -> Profile:
    """The tightest profile that admits ``count`` rows.

    Raises:
        EngineError: None does.
    """
    fitting = [p for p in profiles if p.least <= count <= p.most]
    if not fitting:
        ranges = [f"{p.least} to {p.most}" for p in profiles]
        remedy = "use smaller chunks, or widen the recipe's profiles and build again"
        raise EngineError(bad(f"{what}: batch", count, " or ".join(ranges), remedy))
    return min(fitting, key=lambda p: p.most)


class TensorRtEngine:
    """One engine, ready to run.

    Args:
        path: The engine; its manifest lies beside it.
        api: TensorRT of the kind and version it was built with.
        device: Warp device name.

    Raises:
        EngineError: The file was changed, or is of another TensorRT or GPU.
        BackendError: There is no CUDA device.
    """

    def __init__(self, path: Path, *, api: TensorRt, device: str = "cuda") -> None:
        data, manifest = read_engine(path)
        here = device_target()
        check_fits(path, manifest["key"], api, here)
        if here is None:
            raise BackendError(
                bad("TensorRT engine", "no CUDA device", "one", "run on ONNX Runtime, or on the robot")
            )
        self._trt = api.module
        self._device = wp.get_device(device)
        self._logger = api.logger()
        with wp.ScopedDevice(self._device):
            self._runtime = self._trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(data)
            if self._engine is None:
                first = self._logger.errors[0] if self._logger.errors else "no reason given"
                raise EngineError(bad(path, first, "an engine this GPU can load", "build it again"))
            self._names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
            self._profiles = [self._profile(index) for index in range(self._engine.num_optimization_profiles)]
        inputs, outputs = self._tensors("INPUT"), self._tensors("OUTPUT")
        self._spec = EngineSpec(
            name=str(manifest["key"]["graph"]),
            inputs=inputs,
            outputs=outputs,
            sha256=str(manifest["key"]["onnx_sha256"]),
        )
        self._varying = [t.name for t in inputs if None in t.shape]
        self._kept: dict[str, Any] = {}
        self._capacity = 0

    @property
    def spec(self) -> EngineSpec:
        """Tensor names, types and shapes."""
        return self._spec

    def _tensors(self, mode: str) -> tuple[TensorSpec, ...]:
        wanted = getattr(self._trt.TensorIOMode, mode)
        return tuple(
            TensorSpec(
                name=name,
                dtype=np.dtype(_DTYPES[self._engine.get_tensor_dtype(name).name]),
                shape=tuple(None if n == -1 else int(n) for n in self._engine.get_tensor_shape(name)),
            )
            for name in self._names
            if self._engine.get_tensor_mode(name) == wanted
        )

    def _profile(self, index: int) -> Profile:
        """A context of its own for each profile: switching one would have to wait for the stream."""
        context = self._engine.create_execution_context()
        stream = wp.get_stream(self._device)
        context.set_optimization_profile_async(index, stream.cuda_stream)
        wp.synchronize_stream(stream)
        least, most = 1, 1
        for name in self._names:
            is_input = self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
            if is_input and -1 in tuple(self._engine.get_tensor_shape(name)):
                low, _, high = self._engine.get_tensor_profile_shape(name, index)
                least, most = int(low[0]), int(high[0])
        return Profile(context=context, least=least, most=most)

    def bind(self, buffers: Buffers) -> None:
        """Fix where inputs are read and outputs written; see `Engine.bind`."""
        tensors = {t.name: t for t in (*self._spec.inputs, *self._spec.outputs)}
        what = f"buffers of {self._spec.name}"
        if buffers.keys() != tensors.keys():
            raise EngineError(bad(what, sorted(buffers), sorted(tensors), "bind one array per tensor"))
        capacities = set()
        addresses = {}
        for name, spec in tensors.items():
            view = view_of(buffers[name], spec, what=f"{self._spec.name}.{name}")
            if not view.on_cuda:
                raise EngineError(bad(f"{what}: {name}", "an array in CPU memory", "a CUDA array", "put it on cuda"))
            addresses[name] = view.address
            if None in spec.shape:
                capacities.add(view.shape[0])
        if len(capacities) > 1:
            raise EngineError(bad(what, f"first sizes {sorted(capacities)}", "one size", "allocate them alike"))
        self._capacity = capacities.pop() if capacities else 1
        self._profile_for(self._capacity)
        for profile in self._profiles:
            for name, address in addresses.items():
                profile.context.set_tensor_address(name, address)
        self._kept = dict(buffers)

    def _profile_for(self, count: int) -> Profile:
        """The profile that runs ``count`` rows."""
        return profile_for(self._profiles, count, what=self._spec.name) if self._varying else self._profiles[0]

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """Enqueue the first ``count`` rows; see `Engine.launch`.

        Raises:
            EngineError: Nothing is bound, or no profile admits ``count``.
        """
        count = self._capacity if count is None else count
        if not 1 <= count <= self._capacity:
            expected = f"1 to {self._capacity}" if self._capacity else "bound buffers"
            raise EngineError(bad(f"launch of {self._spec.name}", count, expected, "bind larger buffers"))
        context = self._profile_for(count).context
        for spec in self._spec.inputs:
            if None in spec.shape:
                context.set_input_shape(spec.name, tuple(count if n is None else n for n in spec.shape))
        stream = stream or wp.get_stream(self._device)
        if not context.execute_async_v3(stream.cuda_stream):
            first = self._logger.errors[-1] if self._logger.errors else "no reason given"
            raise EngineError(bad(f"launch of {self._spec.name}", first, "an engine that runs", "build it again"))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on NumPy arrays; see `Engine.run`."""
        count = max((len(inputs[t.name]) for t in self._spec.inputs if None in t.shape), default=1)
        arrays = {
            t.name: wp.array(np.ascontiguousarray(inputs[t.name], dtype=t.dtype), device=self._device)
            for t in self._spec.inputs
        }
        for t in self._spec.outputs:
            shape = tuple(count if n is None else n for n in t.shape)
            arrays[t.name] = wp.array(np.zeros(shape, dtype=t.dtype), device=self._device)
        self.bind(arrays)
        self.launch(count)
        wp.synchronize_stream(wp.get_stream(self._device))
        return {t.name: arrays[t.name].numpy() for t in self._spec.outputs}
