"""TensorRT under one roof: `tensorrt` (JetPack's, 10.3 to 11), `tensorrt_rtx`, and `tensorrt_lean` to run only.

Their Python APIs are the same but for a few names, which are dealt with here and nowhere else. `RUNTIME_API` and
`BUILDER_API` list every name that we use; a test looks them up in the packages that import without a GPU.

Differences that this module hides:

- 10.x builds strongly typed networks only with the flag ``STRONGLY_TYPED``; from 11 on there are no others and the
  flag is gone. TensorRT-RTX has kept it.
- The editable timing cache came after 10.3; where the flag is missing the cache is still kept, only not editable.
- Only TensorRT-RTX can be told a compute capability; the others build for the GPU that is there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from storm_edge.errors import BackendError, mismatch
from storm_edge.interruption import Interruption

RUNTIME_API: dict[str, tuple[str, ...]] = {
    "ILogger": ("log", "Severity"),
    "ILogger.Severity": ("INTERNAL_ERROR", "ERROR", "WARNING"),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "create_execution_context",
        "device_memory_size_v2",
        "get_tensor_dtype",
        "get_tensor_mode",
        "get_tensor_name",
        "get_tensor_profile_shape",
        "get_tensor_shape",
        "num_io_tensors",
        "num_optimization_profiles",
    ),
    "IExecutionContext": (
        "execute_async_v3",
        "set_input_shape",
        "set_optimization_profile_async",
        "set_tensor_address",
    ),
    "TensorIOMode": ("INPUT", "OUTPUT"),
    "DataType": ("FLOAT", "HALF", "INT8", "INT32", "INT64", "BOOL", "UINT8"),
}
"""What running an engine needs."""
BUILDER_API: dict[str, tuple[str, ...]] = {
    "Builder": (
        "build_serialized_network",
        "create_builder_config",
        "create_network",
        "create_optimization_profile",
    ),
    "IBuilderConfig": (
        "add_optimization_profile",
        "create_timing_cache",
        "get_timing_cache",
        "max_aux_streams",
        "progress_monitor",
        "set_flag",
        "set_memory_pool_limit",
        "set_timing_cache",
    ),
    "INetworkDefinition": ("get_input", "num_inputs"),
    "IOptimizationProfile": ("set_shape",),
    "IProgressMonitor": ("phase_start", "step_complete", "phase_finish"),
    "IHostMemory": ("nbytes",),
    "ITimingCache": ("serialize",),
    "MemoryPoolType": ("WORKSPACE",),
    "OnnxParser": ("get_error", "num_errors", "parse"),
}
"""What building one needs besides."""

_PACKAGES = {
    "tensorrt": "JetPack's python3-libnvinfer, or pip install tensorrt",
    "tensorrt_rtx": "pip install 'storm-edge[tensorrt-rtx]'",
    "tensorrt_lean": "pip install tensorrt-lean-cu13",
}
FLAVOURS = tuple(_PACKAGES)
"""Packages that can be loaded."""
BUILDERS = ("tensorrt", "tensorrt_rtx")
"""Those that build engines, the first that is installed is taken where none is named."""

Report = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class TensorRt:
    """One of the packages, loaded."""

    flavour: str
    """Its import name."""
    module: Any
    """The package."""

    @property
    def version(self) -> str:
        """Full version; engines are bound to it."""
        return str(self.module.__version__)

    @property
    def builds(self) -> bool:
        """Whether it has a builder."""
        return hasattr(self.module, "Builder")

    @property
    def builds_without_gpu(self) -> bool:
        """Whether a compute capability can be named, so that no GPU need be there."""
        return hasattr(self.module, "ComputeCapability")

    @property
    def keeps_timings(self) -> bool:
        """Whether a timing cache means anything; TensorRT-RTX times nothing when it builds."""
        return not self.builds_without_gpu

    @property
    def network_flags(self) -> int:
        """Flags of a strongly typed network."""
        flags = getattr(self.module, "NetworkDefinitionCreationFlag", None)
        flag = getattr(flags, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def logger(self) -> Any:
        """A logger that keeps errors for our messages and prints nothing."""
        return _logger_of(self.module)

    def progress_monitor(self, report: Report | None, stage: str, signals: Interruption) -> Any:
        """A progress monitor that tells ``report`` the share of the outermost phase that is done, and ends the build
        when a signal is held.
        """
        return _monitor_of(self.module, report or (lambda stage, share: None), stage, signals)


def load_tensorrt(flavour: str) -> TensorRt:
    """Import one of `FLAVOURS`.

    Raises:
        BackendError: It is not installed, or its libraries do not load.
    """
    if flavour not in _PACKAGES:
        raise BackendError(mismatch("TensorRT", flavour, f"one of {sorted(_PACKAGES)}", "name one of these"))
    try:
        module = importlib.import_module(flavour)
    except (ImportError, OSError) as error:  # missing libraries show as either
        raise BackendError(mismatch(flavour, error, "an installed package", _PACKAGES[flavour])) from error
    return TensorRt(flavour=flavour, module=module)


def load_installed_builder() -> TensorRt:
    """The first of `BUILDERS` that is installed.

    Raises:
        BackendError: None is, or that one's libraries do not load.
    """
    for flavour in BUILDERS:
        if find_spec(flavour) is not None:
            return load_tensorrt(flavour)
    remedy = "; ".join(f"{flavour}: {_PACKAGES[flavour]}" for flavour in BUILDERS)
    raise BackendError(mismatch("TensorRT", "no package that builds engines", " or ".join(BUILDERS), remedy))


def _logger_of(module: Any) -> Any:
    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def cause(self) -> str:
            """The first of them since it was last asked: what came later only follows from it."""
            first = self.errors[0] if self.errors else "no reason given"
            self.errors.clear()
            return first

        def log(self, severity: Any, message: str) -> None:
            if severity <= module.ILogger.Severity.ERROR:
                self.errors.append(message)

    return Logger()


def _monitor_of(module: Any, report: Report, stage: str, signals: Interruption) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._outermost: str | None = None
            self._steps = 1
            self.interruption: BaseException | None = None
            """What a report raised; TensorRT prints what a callback raises and goes on, so it is kept from there."""

        def _tell(self, share: float) -> None:
            try:
                report(stage, share)
            except BaseException as error:
                self.interruption = self.interruption or error

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if self._outermost is None:
                self._outermost, self._steps = phase_name, max(num_steps, 1)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name == self._outermost:
                self._tell(min((step + 1) / self._steps, 1.0))
            return self.interruption is None and not signals.is_asked  # False ends the build

        def phase_finish(self, phase_name: str) -> None:
            if phase_name == self._outermost:
                self._tell(1.0)  # steps that were not needed are not counted as done
                self._outermost = None

    return Monitor()
