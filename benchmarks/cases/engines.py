"""Built engines against the graphs they were built of: how far their answers are apart, and how long they take.

    storm-edge export export/nano-*.yaml --calibration SET --out BUNDLE
    storm-edge build BUNDLE --precision fp16     (and fp32, int8-fp16)
    python -m benchmarks run engines BUNDLE [--backend tensorrt] [--engines DIR] [--precision fp16]

Needs a GPU with TensorRT or TensorRT-RTX. Every graph is asked in the usual batch of each of its profiles, on the
outputs of the FP32 graphs before it; the answers are compared with those of the FP32 graph on ONNX Runtime's CPU.
Latency is that of launches on bound device buffers, by CUDA events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import warp as wp
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.timing import RANKS, spread
from storm_edge.choices import ENGINE_FOLDER, Backend
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.engines.exported_graphs import exported_graphs
from storm_edge.errors import ConfigError, mismatch
from storm_edge.export.compare import compare

WARM_UP, LAUNCHES = 20, 300
_WARP_TYPES = {np.dtype(np.float32): wp.float32, np.dtype(np.float16): wp.float16, np.dtype(np.int64): wp.int64}

Tensors = dict[str, NDArray[Any]]


def inputs_of(engine: Engine, batch: int, made: Tensors, rng: np.random.Generator) -> Tensors:
    """Inputs of a graph: what graphs before it put out, where that has the right size, and normal noise."""
    feed = {}
    for tensor in engine.spec.inputs:
        shape = tuple(batch if n is None else n for n in tensor.shape)
        before = made.get(tensor.name)
        if before is not None and before.shape[1:] == shape[1:]:
            feed[tensor.name] = np.resize(before, shape).astype(tensor.dtype)
        else:
            feed[tensor.name] = rng.standard_normal(shape).astype(tensor.dtype)
    return feed


def latency_ms(engine: Engine, feed: Tensors, device: str) -> dict[str, float]:
    """Percentiles of launches on device buffers."""
    count = max((len(array) for array in feed.values()), default=1)
    buffers = {name: wp.array(array, device=device) for name, array in feed.items()}
    for tensor in engine.spec.outputs:
        shape = tuple(count if n is None else n for n in tensor.shape)
        buffers[tensor.name] = wp.zeros(shape, dtype=_WARP_TYPES[np.dtype(tensor.dtype)], device=device)
    engine.bind(buffers)
    begin, end = (wp.Event(device=device, enable_timing=True) for _ in range(2))
    samples = []
    for index in range(WARM_UP + LAUNCHES):
        wp.record_event(begin)
        engine.launch()
        wp.record_event(end)
        took_ms = wp.get_event_elapsed_time(begin, end)
        if index >= WARM_UP:
            samples.append(took_ms)
    return spread(samples)


@dataclass(frozen=True, kw_only=True)
class BuiltOptions(RecordOptions):
    """Which engines, and where they run."""

    bundle: Annotated[Path, typer.Argument(help="The exported bundle, in FP32.")]
    backend: Annotated[Backend, typer.Option(help="What runs them.")] = Backend.TENSORRT
    engines: Annotated[Path, typer.Option(help="Folder of all built engines.")] = ENGINE_FOLDER
    precision: Annotated[list[str] | None, typer.Option(help="Only these; given again for each.")] = None
    device: Annotated[str, typer.Option(help="cuda or cuda:<i>.")] = "cuda"


@case(record="engines", timing=True)
def engines(options: BuiltOptions) -> Outcome:
    """Compare every engine with its graph, and time its launches."""
    if not options.backend.runs_engines:
        expected = ", ".join(backend.value for backend in Backend if backend.runs_engines)
        raise ConfigError(mismatch("--backend", options.backend.value, expected, "choose what runs built engines"))
    engine_options = EngineOptions(device=options.device)
    reference = NetworkBundle.load(options.bundle)
    rows: list[dict[str, Any]] = []
    for precision in options.precision or ("fp32", "fp16", "int8-fp16"):
        folder = options.bundle if precision == "fp32" else options.bundle / precision
        built = NetworkBundle.load(folder, backend=options.backend, engine_folder=options.engines)
        made: Tensors = {}
        for graph in exported_graphs(options.bundle, precision):
            fp32, engine = reference.open(graph.graph), built.open(graph.graph, engine_options)
            for use, (_, usual, _) in (graph.profiles or {"fixed": (1, 1, 1)}).items():
                feed = inputs_of(fp32, usual, made, np.random.default_rng(0))
                wanted = fp32.run(feed)
                drift = compare(wanted, engine.run(feed))
                made |= wanted
                rows.append(
                    {
                        "graph": graph.graph,
                        "precision": precision,
                        "use": use,
                        "batch": usual,
                        "drift": {name: asdict(error) for name, error in drift.items()},
                        "latency_ms": latency_ms(engine, feed, options.device),
                    }
                )
    table = Table("graph", "precision", "batch", "least cosine", "largest error", "p50 [ms]", "p99 [ms]")
    for row in rows:
        cosine = min(d["cosine"] for d in row["drift"].values())
        error = max(d["max_error"] for d in row["drift"].values())
        times = [f"{row['latency_ms'][p]:.3f}" for p in ("p50", "p99")]
        table.add_row(row["graph"], row["precision"], str(row["batch"]), f"{cosine:.5f}", f"{error:.2g}", *times)
    Console().print(table)
    shown = {
        f"{row['graph']} {row['precision']} {row['use']}": {
            "batch": row["batch"],
            "cosine": min(d["cosine"] for d in row["drift"].values()),
            "latency_ms": [row["latency_ms"][f"p{q}"] for q in RANKS],
        }
        for row in rows
    }
    gpu = wp.get_device(options.device).name
    summary = {"gpu": gpu, "backend": options.backend.value, "percentiles": [f"p{q}" for q in RANKS]}
    return Outcome(summary={**summary, "engines": shown}, rows=rows)
