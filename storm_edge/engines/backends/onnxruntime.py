"""Engines on ONNX Runtime: the CPU everywhere, CUDA when it is asked for and there.

Buffers are bound by address, so Warp and NumPy arrays are read and written in place. On CUDA a session computes on
one stream, named when it is opened: with all buffers on the device a launch only enqueues there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from storm_edge.engines.backends import gpu as cuda
from storm_edge.engines.backends.tensors import (
    ArrayView,
    FileTensor,
    check_count,
    check_names,
    checked_buffers,
    checked_inputs,
    engine_spec,
    file_tensor,
)
from storm_edge.engines.contract import Buffers, EngineOptions, EngineSpec
from storm_edge.engines.manifest import file_sha256
from storm_edge.errors import BackendError, EngineError, mismatch

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(bool)": np.dtype(np.bool_),
}


def _session(path: Path, options: EngineOptions) -> tuple[ort.InferenceSession, int, cuda.Gpu | None]:
    """Session, CUDA device index (0 on the CPU) and the GPU (None there)."""
    kind, _, index = options.device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise BackendError(mismatch("device", options.device, "cpu, cuda or cuda:i", "name one of these"))
    device_index, gpu = int(index or 0), None
    provider, provider_options = "CPUExecutionProvider", dict[str, str]()
    if kind == "cuda":
        provider = "CUDAExecutionProvider"
        if provider not in ort.get_available_providers():
            remedy = "install onnxruntime-gpu, or use --device cpu"
            raise BackendError(mismatch("ONNX Runtime", ort.get_available_providers(), provider, remedy))
        gpu = cuda.open_gpu(options.device)
        provider_options = _on_stream(gpu.handle(options.stream), device_index)
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = options.threads or 0
    session_options.inter_op_num_threads = 1
    session_options.log_severity_level = 3
    if options.as_written:
        session_options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spinning else "0")
    try:
        session = ort.InferenceSession(str(path), session_options, providers=[(provider, provider_options)])
    except Exception as error:  # ONNX Runtime raises a dozen kinds, none with a public base
        first = str(error).splitlines()[0]
        raise EngineError(
            mismatch(path, first, "an ONNX file this ONNX Runtime can load", "export it again")
        ) from error
    if session.get_providers()[0] != provider:  # it goes on with the CPU when CUDA fails to start
        remedy = "check the CUDA and cuDNN libraries, or use --device cpu"
        raise BackendError(mismatch(f"ONNX Runtime for {path.name}", session.get_providers(), provider, remedy))
    return session, device_index, gpu


def _on_stream(handle: int, device_index: int) -> dict[str, str]:
    """Options of the CUDA provider that make it compute on a stream of ours, in the precision that the graph says."""
    if handle == 0:  # ONNX Runtime would take it for none and make a stream of its own
        raise BackendError(
            mismatch("ONNX Runtime on CUDA", "the null stream", "a stream of its own", "give a Warp stream")
        )
    return {"device_id": str(device_index), "user_compute_stream": str(handle), "use_tf32": "0"}


class OnnxRuntimeEngine:
    """One ONNX file, ready to run.

    Args:
        path: The file.
        name: Network, for messages.
        options: Device and threads.
        names: Our name by the file's name, for tensors that are called otherwise there.

    Raises:
        EngineError: The file cannot be loaded, or has sizes other than the first that vary.
        BackendError: CUDA was asked for and ONNX Runtime cannot use it.
    """

    def __init__(
        self, path: Path, *, name: str, options: EngineOptions | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        options = options or EngineOptions()
        sha256 = file_sha256(path)
        self._session, self._device_index, self._gpu = _session(path, options)
        self._stream = options.stream  # kept alive for the session
        self._stream_handle = 0 if self._gpu is None else self._gpu.handle(options.stream)
        names = names or {}
        check_names(path, [t.name for t in (*self._session.get_inputs(), *self._session.get_outputs())], names)
        self._inputs = [_declared(path, t, names) for t in self._session.get_inputs()]
        self._outputs = [_declared(path, t, names) for t in self._session.get_outputs()]
        self._spec = engine_spec(name, self._inputs, self._outputs, sha256)
        self._views: dict[str, ArrayView] = {}
        self._kept: dict[str, Any] = {}
        self._bindings: dict[int, Any] = {}
        self._capacity = 0
        self._enqueue_only = ort.RunOptions()
        self._enqueue_only.add_run_config_entry("disable_synchronize_execution_providers", "1")

    @property
    def spec(self) -> EngineSpec:
        """Tensor names, types and shapes."""
        return self._spec

    def bind(self, buffers: Buffers) -> None:
        """Fix where inputs are read and outputs written; see `Engine.bind`."""
        views, capacity = checked_buffers(self._spec, buffers)
        for name, view in views.items():
            if view.on_cuda and self._gpu is None:
                what = f"{self._spec.name}.{name}"
                raise EngineError(mismatch(what, "a CUDA array", "one in CPU memory", "open the engine on cuda"))
        self._views, self._kept, self._bindings, self._capacity = views, dict(buffers), {}, capacity

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """Run on the first ``count`` rows; see `Engine.launch`. On CUDA, with all buffers there, it only enqueues.

        Raises:
            EngineError: Nothing is bound, ``count`` is out of range, or ``stream`` (the current one, if not given) is
                not the one that the engine was opened for.
        """
        count = self._capacity if count is None else count
        check_count(self._spec, count, self._capacity)
        if count not in self._bindings:
            self._bindings[count] = self._binding(count)
        if self._gpu is not None and self._gpu.handle(stream) != self._stream_handle:
            remedy = "open it within that stream, or give it as EngineOptions.stream"
            raise EngineError(
                mismatch(f"launch of {self._spec.name}", "another stream", "the one it was opened for", remedy)
            )
        only_enqueue = self._gpu is not None and all(view.on_cuda for view in self._views.values())
        self._session.run_with_iobinding(self._bindings[count], self._enqueue_only if only_enqueue else None)

    def _binding(self, count: int) -> Any:
        binding = self._session.io_binding()
        for tensors, bind in ((self._inputs, binding.bind_input), (self._outputs, binding.bind_output)):
            for tensor in tensors:
                view = self._views[tensor.spec.name]
                bind(
                    name=tensor.name,
                    device_type="cuda" if view.on_cuda else "cpu",
                    device_id=self._device_index if view.on_cuda else 0,
                    element_type=view.dtype.type,
                    shape=tensor.sized(count),
                    buffer_ptr=view.address,
                )
        return binding

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on NumPy arrays; see `Engine.run`.

        Raises:
            EngineError: An input is missing, unknown, or of another type or shape.
        """
        given = checked_inputs(self._spec, inputs)
        feed = {t.name: (a := given[t.spec.name]).reshape(t.sized(len(a))) for t in self._inputs}
        arrays = self._session.run([t.name for t in self._outputs], feed)
        return {
            t.spec.name: a.reshape(
                [a.size if len(t.spec.shape) == 1 else a.shape[0], *a.shape[1 : len(t.spec.shape)]]
            )
            for t, a in zip(self._outputs, arrays, strict=True)
        }


def _declared(path: Path, node: Any, names: Mapping[str, str]) -> FileTensor:
    if node.type not in _DTYPES:
        raise EngineError(
            mismatch(f"{path.name}: {node.name}", node.type, sorted(_DTYPES), "export it with a plain type")
        )
    shape = [n if isinstance(n, int) else None for n in node.shape]
    return file_tensor(path.name, node.name, _DTYPES[node.type], shape, names)
