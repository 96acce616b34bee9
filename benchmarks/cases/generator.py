"""How many training items the generator makes in a second, of each network.

    python -m benchmarks run generator [--device cpu] [--seconds 20]

On a CPU by the process's own CPU time with torch on one thread: items a second and core, with both cameras,
occlusions and shadows on, and the exchange of objects included. Others on the machine share caches with it and
disturb the figures by a tenth or two, not more, so that it also runs beside a training. On CUDA by the wall, with the
device waited for. A batch whose figures are not finite stops the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.choices import Network
from storm_edge.generator.contract import Source
from storm_edge.generator.sources import make_source
from storm_edge.synthetic.splits import STREAMS_VAL

UNITS = {
    Network.REFINE: "pairs",
    Network.SCORE: "sets of 12 hypotheses",
    Network.SOM: "pictures of 3 objects",
    Network.TOM: "groups of 8 crops",
}
"""What an item of each network is."""
ITEMS_CPU = {Network.REFINE: 128, Network.SCORE: 24, Network.SOM: 16, Network.TOM: 16}
"""Items of a batch as training on a CPU asks for them."""
CUDA_FACTOR = 16
"""How much larger batches are on a GPU."""


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(RecordOptions):
    """Where, and for how long."""

    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:i.")] = "cpu"
    seconds: Annotated[float, typer.Option(help="Least time that each network's stream is drawn for.")] = 20.0


@case(record="generator-*")
def generator(options: GeneratorOptions) -> Outcome:
    """Draw from every stream for a while."""
    torch.set_num_threads(1)
    table = Table("network", "item", "items/s", "batch", "start [s]")
    summary: dict[str, Any] = {"device": options.device, "clock": "cpu time" if _on_cpu(options) else "wall"}
    for network in Network:
        figures = _drawn(network, options)
        summary[network.value] = figures
        rate = f"{figures['items_per_s']:.1f}"
        table.add_row(network.value, UNITS[network], rate, str(figures["batch"]), f"{figures['start_s']:.1f}")
    Console().print(table)
    return Outcome(summary=summary, record=f"generator-{options.device.split(':')[0]}")


def _on_cpu(options: GeneratorOptions) -> bool:
    return options.device == "cpu"


def _drawn(network: Network, options: GeneratorOptions) -> dict[str, Any]:
    """Items a second of one stream, and how long it took to begin."""
    items = ITEMS_CPU[network] * (1 if _on_cpu(options) else CUDA_FACTOR)
    clock = time.process_time if _on_cpu(options) else time.perf_counter
    start = clock()
    source = make_source(network, seed=STREAMS_VAL.first + 900, device=options.device)
    _checked(source, items, options)
    start_s = clock() - start
    drawn, start = 0, clock()
    while clock() - start < options.seconds:
        source.batch(items)
        drawn += items
        _wait(options)
    rate = drawn / (clock() - start)
    _checked(source, items, options)
    return {"items_per_s": round(rate, 2), "batch": items, "start_s": round(start_s, 2)}


def _checked(source: Source, items: int, options: GeneratorOptions) -> None:
    batch = source.batch(items)
    _wait(options)
    if not all(bool(value.isfinite().all()) for value in batch.values()):
        raise SystemExit("a batch holds figures that are not finite; no record")


def _wait(options: GeneratorOptions) -> None:
    if not _on_cpu(options):
        torch.cuda.synchronize(options.device)
