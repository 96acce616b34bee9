"""Latency of the networks of a bundle, per batch size, in ONNX Runtime.

    python -m benchmarks run networks [--bundle nano] [--threads 1 2]

Inputs are random crops; what they show does not change the time. Outputs are checked to be finite first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer

from benchmarks.registry import NetworkOptions, Outcome, case
from benchmarks.timing import RANKS, measure
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions

BATCHES = (1, 8, 32, 64)
NETWORKS = ("refine", "score", "score_features", "score_attention")


def _buffers(engine: Engine, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    buffers = {}
    for tensor in engine.spec.inputs:
        buffers[tensor.name] = rng.random([count if n is None else n for n in tensor.shape], dtype=np.float32)
    for tensor in engine.spec.outputs:
        buffers[tensor.name] = np.full([count if n is None else n for n in tensor.shape], np.nan, dtype=np.float32)
    return buffers


@dataclass(frozen=True, kw_only=True)
class NetworksOptions(NetworkOptions):
    """Which graphs run, and on what."""

    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<i>.")] = "cpu"
    threads: Annotated[list[int] | None, typer.Option(help="Threads; given again for each. 1 and 2.")] = None
    networks: Annotated[list[str] | None, typer.Option(help="Only these graphs; given again for each.")] = None


@case(record="networks", timing=True)
def networks(options: NetworksOptions) -> Outcome:
    """Time every graph in every batch size; outputs must be finite."""
    bundle = NetworkBundle.load(options.bundle)
    rng = np.random.default_rng(0)
    rows = []
    latency: dict[str, dict[str, object]] = {}
    print(f"{'network':<18}{'threads':>8}{'batch':>7}{'p50 ms':>10}{'p99 ms':>10}{'cpu p50 ms':>12}")
    for network in (name for name in options.networks or NETWORKS if name in bundle.networks):
        for threads in options.threads or (1, 2):
            engine = bundle.open(network, EngineOptions(device=options.device, threads=threads))
            for batch in BATCHES:
                buffers = _buffers(engine, batch, rng)
                engine.bind(buffers)
                engine.launch()
                for tensor in engine.spec.outputs:
                    if not np.isfinite(buffers[tensor.name]).all():
                        raise SystemExit(f"{network}.{tensor.name} is not finite at batch {batch}")
                timing = measure(engine.launch, seconds=1.0)
                wall, cpu = timing.wall_ms, timing.cpu_ms
                print(
                    f"{network:<18}{threads:>8}{batch:>7}{wall['p50']:>10.2f}{wall['p99']:>10.2f}{cpu['p50']:>12.2f}"
                )
                times = {kind: [spread[f"p{q}"] for q in RANKS] for kind, spread in asdict(timing).items()}
                by_batch = latency.setdefault(network, {"sha256": engine.spec.sha256})
                by_batch[f"threads {threads}, batch {batch}"] = times
                rows.append(
                    {
                        "network": network,
                        "sha256": engine.spec.sha256,
                        "threads": threads,
                        "batch": batch,
                        "wall_ms": wall,
                        "cpu_ms": cpu,
                    }
                )
    percentiles = [f"p{q}" for q in RANKS]
    summary = {"bundle": bundle.name, "device": options.device, "percentiles": percentiles, "latency": latency}
    return Outcome(summary=summary, rows=rows)
