"""An ONNX graph to a TensorRT engine: strongly typed, one profile per use, one stream, a bounded workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import Report, TensorRt
from storm_edge.errors import BackendError, EngineError, mismatch
from storm_edge.interruption import Interruption, Stopped

DEFAULT_WORKSPACE_MIB = 1024
"""Scratch memory that a kernel may take."""
_MIB = 2**20
_RUNTIME_MIB = 600  # what the builder itself took for the smallest graph, rounded up


@dataclass(frozen=True, kw_only=True)
class Built:
    """An engine in memory, and what it took."""

    data: bytes
    """The serialised engine."""
    timing_cache: bytes
    """To build the next one quicker, and alike; empty where there is none."""
    seconds: float
    """Wall time."""
    peak_bytes: int
    """Largest resident size of this process meanwhile; 0 where the system does not tell."""
    estimate_bytes: int
    """What `build_memory_bytes` had expected."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a build may take, and what it may begin with."""

    workspace_mib: int = DEFAULT_WORKSPACE_MIB
    """Scratch memory that a kernel may take [MiB]."""
    timing_cache: bytes = b""
    """Of an earlier build, or empty."""


def build_engine(
    api: TensorRt,
    onnx: Path,
    *,
    profiles: Mapping[str, tuple[int, int, int]],
    target: GpuTarget,
    options: BuildOptions | None = None,
    progress: Report | None = None,
) -> Built:
    """Build one engine.

    Args:
        api: TensorRT with a builder.
        onnx: The graph; precision is what it says.
        profiles: Least, usual and most of the size that varies, by use; empty for a graph of fixed sizes.
        target: What it is for.
        options: Memory and timings.
        progress: Called with the graph's name and the finished share.

    Raises:
        BackendError: This TensorRT only runs engines, or there is not enough memory to build.
        EngineError: The graph is refused.
        KeyboardInterrupt: Ctrl-C, at the end of a step of the builder.
    """
    # TensorRT calls back into Python for its log and its progress; it prints what is raised there, and goes on.
    with Interruption(held=True) as signals:
        built = _build(api, onnx, profiles, target, (options or BuildOptions(), progress), signals)
        if signals.is_asked:
            raise Stopped
    return built


def _build(
    api: TensorRt,
    onnx: Path,
    profiles: Mapping[str, tuple[int, int, int]],
    target: GpuTarget,
    how: tuple[BuildOptions, Report | None],
    signals: Interruption,
) -> Built:
    """`build_engine`, with signals held.

    Raises:
        Stopped: One arrived.
    """
    if not api.builds:
        raise BackendError(
            mismatch(api.flavour, "a runtime without builder", "tensorrt or tensorrt_rtx", "install one")
        )
    (options, progress), trt = how, api.module
    data = onnx.read_bytes()
    estimate = build_memory_bytes(onnx, profiles, workspace_mib=options.workspace_mib)
    _check_memory(onnx, estimate)
    logger = api.logger()
    builder = trt.Builder(logger)
    network = builder.create_network(api.network_flags)
    parser = _parse(api, network, onnx, data, logger)  # the network borrows its weights from it
    config = _config(api, builder, options)
    monitor = api.progress_monitor(progress, onnx.stem, signals)
    config.progress_monitor = monitor
    if api.builds_without_gpu and target.gpu == "any":
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.sm.upper()), 0)
    for sizes in _profiles_of(network, onnx, profiles):
        profile = builder.create_optimization_profile()
        for name, shapes in sizes.items():
            profile.set_shape(name, *shapes)
        config.add_optimization_profile(profile)

    _reset_peak()
    started = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    del parser
    if signals.is_asked:
        raise Stopped
    if monitor.interruption is not None:
        raise monitor.interruption
    if plan is None:
        first = logger.errors[-1] if logger.errors else "no reason given"
        remedy = "keep the layer it names in FP32 in the recipe, or report this"
        raise EngineError(
            mismatch(onnx, first, f"a graph {api.flavour} {api.version} builds for {target.sm}", remedy)
        )
    kept = config.get_timing_cache() if api.keeps_timings else None
    return Built(
        data=bytes(memoryview(plan)),
        timing_cache=b"" if kept is None else bytes(memoryview(kept.serialize())),
        seconds=time.perf_counter() - started,
        peak_bytes=_peak_bytes(),
        estimate_bytes=estimate,
    )


def _check_memory(onnx: Path, estimate: int) -> None:
    available = available_bytes()
    if available is not None and estimate > available:
        got = f"{available // _MIB} MiB of memory free"
        remedy = "close other programs, or lower the profiles' most or --workspace-mib"
        raise BackendError(mismatch(f"build of {onnx.name}", got, f"about {estimate // _MIB} MiB", remedy))


def _parse(api: TensorRt, network: Any, onnx: Path, data: bytes, logger: Any) -> Any:
    """The parser; it must live until the engine is built."""
    parser = api.module.OnnxParser(network, logger)
    if not parser.parse(data):
        first = _first_error(parser, logger)
        remedy = "keep that layer in FP32 in the recipe, or export the network anew"
        raise EngineError(mismatch(onnx, first, f"a graph {api.flavour} {api.version} accepts", remedy))
    return parser


def _config(api: TensorRt, builder: Any, options: BuildOptions) -> Any:
    """How any engine is built: one stream, scratch memory, timings of earlier builds."""
    trt = api.module
    config = builder.create_builder_config()
    # TensorRT's own streams would run at default priority, beside a loop that asked for another.
    config.max_aux_streams = 0
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
    if api.keeps_timings:
        editable = getattr(trt.BuilderFlag, "EDITABLE_TIMING_CACHE", None)
        if editable is not None:
            config.set_flag(editable)
        config.set_timing_cache(config.create_timing_cache(options.timing_cache), False)
    return config


def _first_error(parser: Any, logger: Any) -> str:
    if parser.num_errors:
        error = parser.get_error(0)
        return f"{error.desc()} (node {error.node()})" if callable(getattr(error, "node", None)) else str(error)
    return logger.errors[0] if logger.errors else "no reason given"


def _profiles_of(
    network: Any, onnx: Path, profiles: Mapping[str, tuple[int, int, int]]
) -> list[dict[str, list[tuple[int, ...]]]]:
    """Shapes by input for each profile; none for a graph of fixed sizes."""
    varying = {
        tensor.name: tuple(tensor.shape)
        for tensor in (network.get_input(i) for i in range(network.num_inputs))
        if -1 in tuple(tensor.shape)
    }
    if varying and not profiles:
        raise EngineError(
            mismatch(onnx, f"sizes that vary in {sorted(varying)}", "profiles", "add them to the recipe")
        )
    if not varying:
        return []
    return [
        {name: [tuple(n if d == -1 else d for d in shape) for n in sizes] for name, shape in varying.items()}
        for sizes in profiles.values()
    ]


def build_memory_bytes(
    onnx: Path, profiles: Mapping[str, tuple[int, int, int]], *, workspace_mib: int = DEFAULT_WORKSPACE_MIB
) -> int:
    """A cautious guess at the memory a build needs: the builder, four copies of the weights, the inputs at their most
    with eight times as much for what is between, and half the workspace.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    most = max((sizes[2] for sizes in profiles.values()), default=1)
    inputs = 0
    with suppress(Exception):  # a graph that ONNX Runtime refuses is TensorRT's to judge
        session = ort.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        for node in session.get_inputs():
            inputs += 4 * int(np.prod([n if isinstance(n, int) else most for n in node.shape]))
    return (_RUNTIME_MIB + workspace_mib // 2) * _MIB + 4 * onnx.stat().st_size + 9 * inputs


def available_bytes() -> int | None:
    """Memory that is free for a build, None where the system does not say. On a Jetson it is the GPU's as well."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _reset_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    try:
        lines = Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
