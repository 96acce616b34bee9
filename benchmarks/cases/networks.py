"""Latency of the networks of a bundle, per batch size, in ONNX Runtime.

    python -m benchmarks run networks [--bundle nano] [--threads 1 2]

Inputs are random crops; what they show does not change the time. Outputs are checked to be finite first.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.common import measure, write_record
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions

BATCHES = (1, 8, 32, 64)


def _buffers(engine: Engine, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    buffers = {}
    for tensor in engine.spec.inputs:
        buffers[tensor.name] = rng.random([count if n is None else n for n in tensor.shape], dtype=np.float32)
    for tensor in engine.spec.outputs:
        buffers[tensor.name] = np.full([count if n is None else n for n in tensor.shape], np.nan, dtype=np.float32)
    return buffers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--networks", nargs="+", default=["refine", "score", "score_features", "score_attention"])
    parser.add_argument("--record", default="networks")
    options = parser.parse_args()
    bundle = NetworkBundle.load(options.bundle)
    rng = np.random.default_rng(0)
    results = []
    print(f"{'network':<18}{'threads':>8}{'batch':>7}{'p50 ms':>10}{'p99 ms':>10}{'cpu p50 ms':>12}")
    for network in (name for name in options.networks if name in bundle.networks):
        for threads in options.threads:
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
                results.append(
                    {
                        "network": network,
                        "sha256": engine.spec.sha256,
                        "threads": threads,
                        "batch": batch,
                        "wall_ms": wall,
                        "cpu_ms": cpu,
                    }
                )
    path = write_record(options.record, {"bundle": bundle.name, "device": options.device, "latency": results})
    print(f"record: {path}")


if __name__ == "__main__":
    main()
