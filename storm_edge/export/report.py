"""What an export leaves for people: a page with plots, a model card, and the same in JSON."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storm_edge.export.results import CARD, PAGE, REPORT, ExportReport, GraphReport, NetworkReport, as_json
from storm_edge.html_page import page, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_report(folder: Path, report: ExportReport) -> None:
    """Write ``report.json``, ``report.html`` and ``MODEL_CARD.md``."""
    (folder / REPORT).write_text(as_json(report), encoding="utf-8")
    (folder / PAGE).write_text(_page(report), encoding="utf-8")
    (folder / CARD).write_text(_card(report), encoding="utf-8")


def _page(report: ExportReport) -> str:
    parts = [
        f"<p class={'bad' if report.failures else 'good'}>"
        + (html.escape("; ".join(report.failures)) if report.failures else "Every gate passed.")
        + "</p>",
    ]
    if report.calibration is None:
        parts.append("<p>No calibration set was given, so there is no INT8.</p>")
    graphs = [graph for network in report.networks for graph in network.graphs]
    parts.append(f'<p><img alt="file sizes" src="{_sizes_plot(graphs)}"></p>')
    parts += [_section(network) for network in report.networks]
    return page(f"Export of {report.name}", parts)


def _section(network: NetworkReport) -> str:
    origin = html.escape(network.origin) + (" (untrained: only tensors are compared)" if network.untrained else "")
    parts = [
        f"<h2>{network.network}, {network.tier} tier</h2>",
        f"<p>From {origin}. Compared on {html.escape(network.data)}. Recipe {network.recipe_sha256[:12]}, "
        f"{network.seconds:.0f} s.</p>",
        table(
            ("graph", "ONNX Runtime against", "largest relative difference in FP32"),
            [(g, why, "-" if worst is None else f"{worst:.1e}") for g, (worst, why) in network.parity.items()],
        ),
        table(
            ("graph", "precision", "KiB", "nodes", "in FP32", "output", "cosine", "largest error", "note"),
            [row for graph in network.graphs for row in _drift_rows(graph)],
        ),
    ]
    metrics = [
        (precision, f.name, "-" if f.fp32 is None else f"{f.fp32:.3f}", f"{f.reduced:.4g}", f"{f.limit:g}", f.passed)
        for precision, items in network.metrics.items()
        for f in items
    ]
    if metrics:
        parts.append(table(("precision", "task", "FP32", "reduced, or change", "limit", "passed"), metrics))
    for graph in network.graphs:
        if graph.layers and graph.precision == "int8":
            parts.append(f"<h3>{graph.graph}: layers in INT8</h3>")
            if any(layer.error is not None for layer in graph.layers):
                parts.append(f'<p><img alt="sensitivity" src="{_sensitivity_plot(graph)}"></p>')
            rows = [
                (x.layer, x.op, "INT8" if x.int8 else "kept", "-" if x.error is None else f"{x.error:.4f}", x.reason)
                for x in graph.layers
            ]
            parts.append(table(("layer", "operation", "choice", "error when it alone is INT8", "why"), rows))
    return "\n".join(parts)


def _drift_rows(graph: GraphReport) -> list[tuple[str, ...]]:
    size = f"{graph.size_bytes / 1024:.0f}"
    kept = str(graph.fp32_nodes) if graph.precision == "fp16" else ""
    head = (graph.graph, graph.precision, size, str(graph.nodes), kept)
    if not graph.drift:
        return [(*head, "", "", "", graph.note)]
    rows: list[tuple[str, ...]] = [
        (*head, output, f"{error.cosine:.6f}", f"{error.max_error:.4f}", graph.note)
        for output, error in graph.drift.items()
    ]
    return rows + [
        (*head, output, f"{error.cosine:.6f}", f"{error.max_error:.4f}", "in true FP16 arithmetic, a few rows")
        for output, error in graph.true_drift.items()
    ]


def _sizes_plot(graphs: Sequence[GraphReport]) -> str:
    names = list(dict.fromkeys(g.graph for g in graphs))
    precisions = list(dict.fromkeys(g.precision for g in graphs))
    figure, axes = _figure(height=0.35 * len(names) * len(precisions) / 2 + 1.2)
    step = 0.8 / len(precisions)
    for i, precision in enumerate(precisions):
        sizes = {g.graph: g.size_bytes / 2**20 for g in graphs if g.precision == precision}
        places = [names.index(name) + i * step for name in sizes]
        axes.barh(places, list(sizes.values()), height=step, label=precision)
    axes.set_yticks([k + 0.4 - step / 2 for k in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel("file size [MiB]")
    axes.legend()
    return _embedded(figure)


def _sensitivity_plot(graph: GraphReport) -> str:
    tried = sorted((x for x in graph.layers if x.error is not None), key=lambda x: -(x.error or 0.0))
    figure, axes = _figure(height=0.22 * len(tried) + 1.0)
    colours = ["#3a7" if x.int8 else "#c44" for x in tried]
    axes.barh([x.layer for x in tried], [x.error or 0.0 for x in tried], color=colours)
    axes.invert_yaxis()
    axes.set_xlabel("RMS error of the outputs when this layer alone is INT8; red: taken back")
    return _embedded(figure)


def _figure(*, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, min(max(height, 1.8), 14.0)), layout="constrained")
    return figure, figure.add_subplot()


def _embedded(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _card(report: ExportReport) -> str:
    lines = [
        f"# Bundle `{report.name}`",
        "",
        "Written by `storm-edge export`; how it compares with FP32 is in `report.html`.",
        "",
        "| network | tier | weights from | recipe |",
        "|---|---|---|---|",
        *(f"| {n.network} | {n.tier} | {n.origin} | `{n.recipe_sha256[:12]}` |" for n in report.networks),
        "",
        "| graph | precision | size | worst cosine to FP32 | note |",
        "|---|---|---|---|---|",
    ]
    for network in report.networks:
        for graph in network.graphs:
            cosine = f"{min(x.cosine for x in graph.drift.values()):.6f}" if graph.drift else "-"
            size = f"{graph.size_bytes / 2**20:.2f} MiB"
            lines.append(f"| {graph.graph} | {graph.precision} | {size} | {cosine} | {graph.note} |")
    if any(network.untrained for network in report.networks):
        lines += ["", "**Random weights**: made to try the graphs, of no use for anything else."]
    return "\n".join(lines) + "\n"
