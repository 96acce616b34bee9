"""The picture of a record: the time of every frame, and how often a stage takes longer than a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_edge.bench.player import END_TO_END, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT = "#2b2f36", "#8a919c"
_LINES = ("#2f6fde", "#e07b27", "#7a4fd0", "#159a8c", "#c2417c")


def plot_record(path: Path, record: Mapping[str, Any]) -> None:
    """Above, the whole way of every frame; below, how often a stage takes longer than a time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 7.0), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    rate = "" if record["rate_hz"] is None else f" at {record['rate_hz']:g} Hz"
    title = f"storm-edge bench {record['mode']}{rate}: {record['bundle']['name']} on {record['machine']['cpu']}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=_INK)
    above, below = figure.subplots(2, 1)
    for colour, phase in zip(_LINES, record["phases"], strict=False):
        values = phase["samples_ms"][END_TO_END]
        s = phase["stages"][END_TO_END]
        label = f"{phase['name']}: p50 {s['p50']:.1f}, p99 {s['p99']:.1f} ms"
        above.plot(range(len(values)), values, ".", ms=2.5, color=colour, label=label)
    if record["rate_hz"] is not None:
        above.axhline(1e3 / record["rate_hz"], color=_FAINT, lw=1.0, ls=(0, (5, 4)), label="next frame is due")
    above.set_ylim(bottom=0.0)
    _dress(above, "frame", "end to end [ms]")
    styles = ("-", "--")
    for style, phase in zip(styles, record["phases"], strict=False):
        stages = [(stage, v) for stage, v in phase["samples_ms"].items() if stage != OTHER]
        for colour, (stage, values) in zip(_LINES * 2, stages, strict=False):
            ordered = np.sort(values)
            longer = 1.0 - np.arange(len(ordered)) / len(ordered)
            ink = _INK if stage == END_TO_END else colour
            label = stage if len(record["phases"]) == 1 else f"{phase['name']}: {stage}"
            below.step(np.maximum(ordered, 1e-3), longer, where="pre", color=ink, ls=style, lw=1.3, label=label)
    below.set_xscale("log")
    below.set_yscale("log")
    _dress(below, "time [ms]", "share of frames at least as slow")
    figure.savefig(path)


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    axes.grid(color="#e6e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_FAINT, labelsize=9)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK, ncols=2)
