"""What SOM costs per image when an object's views are encoded once, against encoding them at every call.

    python -m benchmarks run som [--calls 5]

Full size, random weights, ONNX Runtime on the CPU. ``whole`` goes from image and sixteen views to the mask, as
upstream is called. It is the three exported graphs joined into one, so it has every exact fold that they have, and
the ratio is what the split alone brings. ``online`` is ``som_query`` then ``som_head``. Before a number is printed
both must give the mask that the network in torch gives, run in the order of upstream. Takes some minutes and 8 GB of
memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnx.compose
import onnxruntime as ort
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.timing import measure
from storm_edge.export.networks.som import cache_shapes, export_som
from storm_edge.export.parity import PARITY
from storm_edge.networks.dinov2 import SIZE_PX
from storm_edge.networks.som import Som

Array = NDArray[np.float32]


def join(folder: Path, cache: Iterable[str], path: Path) -> None:
    """Join the three graphs in ``folder``: from ``query/image`` and ``reference/views`` to ``head/logits``."""
    reference, query, head = (
        onnx.compose.add_prefix(onnx.load(str(folder / f"som_{part}.onnx")), f"{part}/")
        for part in ("reference", "query", "head")
    )
    online = onnx.compose.merge_models(query, head, io_map=[("query/tokens", "head/tokens")])
    kept = [(f"reference/{name}", f"head/{name}") for name in cache]
    onnx.save(onnx.compose.merge_models(reference, online, io_map=kept), str(path))


def random_som() -> Som:
    """The full-size network with weights under which image and views both show in the mask."""
    net = Som()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            scale = value.ndim == 1 and not name.endswith(("bias", "delta"))
            value.copy_(1 + 0.2 * noise if scale else 0.03 * noise)
    return net.eval()


def session(path: Path) -> ort.InferenceSession:
    """The file, ready to run on all cores."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(graph: ort.InferenceSession, inputs: dict[str, Array]) -> Sequence[Array]:
    """All outputs, in the order of the file."""
    outputs: Sequence[Array] = graph.run(None, inputs)
    return outputs


@dataclass(frozen=True, kw_only=True)
class SomOptions(RecordOptions):
    """How often."""

    calls: Annotated[int, typer.Option(help="Timed calls of the whole; the parts get 4 times more.")] = 5


@case(record="som", timing=True)
def som(options: SomOptions) -> Outcome:
    """Time the split network and the whole one, which must give the same mask."""
    calls = options.calls
    net = random_som()
    generator = torch.Generator().manual_seed(1)
    crop = (3, SIZE_PX, SIZE_PX)
    image = torch.randn(1, *crop, generator=generator)
    views = torch.randn(net.config.views, *crop, generator=generator)
    with torch.no_grad():
        expected = net(image, views).numpy()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parity = export_som(net, folder)
        cache = cache_shapes(net.config)
        join(folder, cache, folder / "whole.onnx")
        graphs = {graph: session(folder / f"{graph}.onnx") for graph in (*parity, "whole")}

    def reference() -> Sequence[Array]:
        return run(graphs["som_reference"], {"views": views.numpy()})

    kept = dict(zip(cache, reference(), strict=True))

    def query() -> Array:
        return run(graphs["som_query"], {"image": image.numpy()})[0]

    tokens = query()

    def head() -> Array:
        return run(graphs["som_head"], {"tokens": tokens, **kept})[0]

    def online() -> Array:
        return run(graphs["som_head"], {"tokens": query(), **kept})[0]

    def whole() -> Array:
        return run(graphs["whole"], {"query/image": image.numpy(), "reference/views": views.numpy()})[0]

    scale = max(float(np.abs(expected).max()), 1.0)
    differences = {work.__name__: float(np.abs(work() - expected).max()) / scale for work in (online, whole)}
    if max(differences.values()) > PARITY:
        raise SystemExit(f"the graphs give another mask than torch: {differences}")

    timings = {
        "query, once per image": measure(query, warm_up=2, seconds=0, at_least=4 * calls),
        "head, once per image and object": measure(head, warm_up=2, seconds=0, at_least=4 * calls),
        "online, one object": measure(online, warm_up=2, seconds=0, at_least=4 * calls),
        "reference, once per object": measure(reference, warm_up=0, seconds=0, at_least=calls),
        "whole, as upstream calls it": measure(whole, warm_up=0, seconds=0, at_least=calls),
    }
    slow, quick = timings["whole, as upstream calls it"], timings["online, one object"]
    wall, cpu = slow.wall_ms["p50"] / quick.wall_ms["p50"], slow.cpu_ms["p50"] / quick.cpu_ms["p50"]

    table = Table("work", "wall p50 [ms]", "wall p95 [ms]", "CPU p50 [ms]")
    for label, t in timings.items():
        table.add_row(label, f"{t.wall_ms['p50']:.0f}", f"{t.wall_ms['p95']:.0f}", f"{t.cpu_ms['p50']:.0f}")
    console = Console()
    console.print(table)
    console.print(f"online takes {wall:.1f} times less time, {cpu:.1f} times less CPU time")
    results = {
        "timings": {label: {"wall_ms": t.wall_ms, "cpu_ms": t.cpu_ms} for label, t in timings.items()},
        "whole_over_online": {"wall": round(wall, 2), "cpu": round(cpu, 2)},
        "difference_from_torch": differences,
        "difference_at_export": parity,
        "cache_float16_mib": sum(array.size for array in kept.values()) * 2 / 2**20,
    }
    return Outcome(summary=results)
