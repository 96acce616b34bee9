"""`tensorrt` for machines without a GPU: ONNX Runtime computes, TensorRT's calling rules are kept.

Names, arguments and answers are TensorRT 10's, held to the real packages by `test_stand_in.py`: what breaks a rule is
answered with False or None and a line for the logger, as TensorRT does it, and is kept in `broken`. A plan is the
ONNX file behind a line of JSON, and loads in the version it was built by alone. Addresses are taken at their word and
read and written as host memory, so `HostGpu` goes with it in place of `engines.backends.gpu.Gpu`.

What it cannot show: speed, TensorRT's own arithmetic, and races between streams.
"""

from __future__ import annotations

import ctypes
import enum
import json
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import onnxruntime as ort
import warp as wp

from storm_edge.engines.backends.gpu import GpuTarget

__version__ = "10.3.0.26"

broken: list[str] = []
"""Rules that were broken since `reset`."""
faults: list[str] = []
"""Errors that the next launches end with, one each."""
launches: list[int] = []
"""Handles of the streams that were launched on since `reset`."""

_MAGIC = "stand-in"
_ONNX = {
    "tensor(float)": ("FLOAT", np.float32),
    "tensor(float16)": ("HALF", np.float16),
    "tensor(int32)": ("INT32", np.int32),
    "tensor(int64)": ("INT64", np.int64),
    "tensor(bool)": ("BOOL", np.bool_),
    "tensor(uint8)": ("UINT8", np.uint8),
}


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    INT64 = 8


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.Enum):
    EDITABLE_TIMING_CACHE = 0


def _refused(logger: ILogger, message: str) -> bool:
    broken.append(message)
    logger.log(ILogger.Severity.ERROR, message)
    return False


def _session(data: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(n if isinstance(n, int) else -1 for n in node.shape)


# Running


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        head, _, onnx = bytes(serialized_engine).partition(b"\n")
        try:
            plan = json.loads(head)
            assert plan["magic"] == _MAGIC
        except (ValueError, KeyError, TypeError, AssertionError):
            self._logger.log(ILogger.Severity.ERROR, "Magic tag does not match")
            return None
        if plan["version"] != __version__:
            message = (
                f"Version tag does not match. Current Version: {__version__}, Serialized Engine: {plan['version']}"
            )
            self._logger.log(ILogger.Severity.ERROR, message)
            self._logger.log(ILogger.Severity.ERROR, "Engine deserialization failed.")
            return None
        return ICudaEngine(self._logger, onnx, plan["profiles"])


class ICudaEngine:
    def __init__(self, logger: ILogger, onnx: bytes, profiles: list[dict[str, Any]]) -> None:
        self._logger, self._profiles, self._session = logger, profiles or [{}], _session(onnx)
        self._nodes = {n.name: n for n in (*self._session.get_inputs(), *self._session.get_outputs())}
        self._inputs = {n.name for n in self._session.get_inputs()}
        self._contexts: weakref.WeakSet[IExecutionContext] = weakref.WeakSet()
        self._dead = ""

    @property
    def num_io_tensors(self) -> int:
        return len(self._nodes)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    @property
    def device_memory_size_v2(self) -> int:
        return 0

    def get_tensor_name(self, index: int) -> str:
        return list(self._nodes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[_ONNX[self._nodes[name].type][0]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return _shape(self._nodes[name])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert name in self._inputs, "profiles are of inputs"
        fixed = [_shape(self._nodes[name])] * 3
        return [tuple(s) for s in self._profiles[profile_index].get(name, fixed)]

    def create_execution_context(self) -> IExecutionContext | None:
        taken = {context._profile for context in self._contexts}
        context = IExecutionContext(self, -1 if 0 in taken else 0)  # the first one gets profile 0 unasked
        self._contexts.add(context)
        return context


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, profile: int) -> None:
        self._engine, self._profile = engine, profile
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def _refuse(self, message: str) -> bool:
        return _refused(self._engine._logger, message)

    def _usable(self) -> bool:
        if self._engine._dead:
            return self._refuse(f"call after an error: {self._engine._dead}")
        return True

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if not self._usable():
            return False
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            return self._refuse(f"profile {profile_index} is none of {self._engine.num_optimization_profiles}")
        if any(c._profile == profile_index for c in self._engine._contexts if c is not self):
            return self._refuse(f"profile {profile_index} is used by another context")
        if stream_handle not in HostStream.known:
            return self._refuse(f"stream {stream_handle}: invalid resource handle")
        if profile_index != self._profile:
            self._profile, self._shapes = profile_index, {}
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if not self._usable():
            return False
        if name not in self._engine._inputs:
            return self._refuse(f"{name} is no input")
        if self._profile < 0:
            return self._refuse("a shape is set before a profile is chosen")
        low, _, high = self._engine.get_tensor_profile_shape(name, self._profile)
        fits = len(shape) == len(low) and all(a <= n <= b for a, n, b in zip(low, shape, high, strict=True))
        if not fits:
            return self._refuse(f"{name}: {tuple(shape)} is outside profile {self._profile}, {low} to {high}")
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if not self._usable():
            return False
        if name not in self._engine._nodes:
            return self._refuse(f"{name} is no tensor")
        if memory <= 0:
            return self._refuse(f"{name}: address {memory}")
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if not self._usable():
            return False
        engine = self._engine
        if faults:
            engine._dead = faults.pop(0)
            engine._logger.log(ILogger.Severity.ERROR, engine._dead)
            return False
        if self._profile < 0:
            return self._refuse("launch before a profile is chosen")
        for name, node in engine._nodes.items():
            if name not in self._addresses:
                return self._refuse(f"{name}: no address is set")
            if name in engine._inputs and -1 in _shape(node) and name not in self._shapes:
                return self._refuse(f"{name}: no shape is set")
        if stream_handle not in HostStream.known:
            return self._refuse(f"stream {stream_handle}: invalid resource handle")
        launches.append(stream_handle)
        feed = {
            name: (self._addresses[name], self._shapes.get(name, _shape(engine._nodes[name])))
            for name in engine._inputs
        }
        results = {name: self._addresses[name] for name in engine._nodes if name not in engine._inputs}
        HostStream.known[stream_handle].put(lambda: _compute(engine, feed, results))
        return True


def _compute(engine: ICudaEngine, feed: dict[str, tuple[int, tuple[int, ...]]], results: dict[str, int]) -> None:
    inputs = {n: _memory(address, shape, _ONNX[engine._nodes[n].type][1]) for n, (address, shape) in feed.items()}
    for name, array in zip(results, engine._session.run(list(results), inputs), strict=True):
        _memory(results[name], array.shape, array.dtype)[...] = array


def _memory(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=dtype).reshape(shape)


# Building


class IHostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


class ITensor:
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape


class INetworkDefinition:
    def __init__(self) -> None:
        self._onnx = b""
        self._tensors: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self._tensors)

    def get_input(self, index: int) -> ITensor:
        return self._tensors[index]


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self._shapes[input] = [min, opt, max]


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._data or b"timings")


class IProgressMonitor:
    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


class IBuilderConfig:
    max_aux_streams = -1
    progress_monitor: IProgressMonitor | None = None

    def __init__(self) -> None:
        self._profiles: list[IOptimizationProfile] = []
        self._cache: ITimingCache | None = None

    def set_flag(self, flag: BuilderFlag) -> None:
        assert isinstance(flag, BuilderFlag)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        assert isinstance(pool, MemoryPoolType)
        assert pool_size > 0

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1


class _ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text

    def node(self) -> int:
        return 0


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._errors = network, list[_ParserError]()

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> _ParserError:
        return self._errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            session = _session(model)
        except Exception as error:  # ONNX Runtime raises a dozen kinds
            self._errors.append(_ParserError(str(error).splitlines()[0]))
            return False
        self._network._onnx = bytes(model)
        self._network._tensors = [ITensor(node.name, _shape(node)) for node in session.get_inputs()]
        return True


class Builder:
    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        if not flags & 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED:
            _refused(self._logger, "a network that is not strongly typed")
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        varying = {t.name for t in network._tensors if -1 in t.shape}
        if varying and not (config._profiles and all(varying <= p._shapes.keys() for p in config._profiles)):
            _refused(self._logger, f"no profile for {sorted(varying)}")
            return None
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building Engine", None, 2)
            for step in range(2):
                try:
                    going_on = monitor.step_complete("Building Engine", step)
                except BaseException as error:  # no exception leaves a callback
                    broken.append(f"a callback raised {error!r}")
                    going_on = False
                if not going_on:
                    self._logger.log(ILogger.Severity.ERROR, "BuildCanceled (Build canceled by user)")
                    return None
            monitor.phase_finish("Building Engine")
        profiles = [profile._shapes for profile in config._profiles]
        head = {"magic": _MAGIC, "version": __version__, "profiles": profiles, "aux": config.max_aux_streams}
        return IHostMemory(json.dumps(head).encode() + b"\n" + network._onnx)


# The device


class HostStream:
    """A stream whose work is done at once, or, if it is not ``eager``, when somebody waits for it."""

    known: ClassVar[dict[int, HostStream]] = {}

    def __init__(self, *, eager: bool = True) -> None:
        self.cuda_stream = 1000 + len(self.known)
        self._eager = eager
        self._pending: list[Callable[[], None]] = []
        self.known[self.cuda_stream] = self

    def put(self, work: Callable[[], None]) -> None:
        self._pending.append(work)
        if self._eager:
            self.synchronise()

    def synchronise(self) -> None:
        while self._pending:
            self._pending.pop(0)()


class HostGpu:
    """`engines.backends.gpu.Gpu` on host memory."""

    def __init__(self, *, eager: bool = True) -> None:
        self.device = wp.get_device("cpu")
        self.target = GpuTarget(sm="sm87", gpu="stand-in", system="driver 1")
        self.current = HostStream(eager=eager)

    def holds(self, view: Any) -> bool:
        return not view.on_cuda

    def handle(self, stream: Any = None) -> int:
        return int((stream or self.current).cuda_stream)

    def wait(self) -> None:
        self.current.synchronise()


def reset() -> None:
    """Forget what happened."""
    for record in (broken, faults, launches):
        record.clear()
    HostStream.known.clear()
