"""The picture of a training run: loss, held-out figures and speed over its time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm_edge.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT = "#2b2f36", "#8a919c"
_UNITS = {"_deg": "held out [deg]", "_pct": "held out [% of the diameter]", "": "held out [share]"}
_NOT_LOSSES = {"step", "elapsed_s", "rate", "drawn", "drawn_per_s", "trained_per_s", "kernels", "skipped", "batch"}
_NO_SPEED = ("computing", "kernels")

Records = Sequence[Mapping[str, Any]]


def draw_curves(path: Path, records: Records, *, title: str) -> None:
    """Write a PNG of a log.

    Args:
        path: The file; a reader sees the old one or the new one.
        records: Lines of the log, see `run_log`.
        title: What stands above it.

    Raises:
        OutputError: It cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [r for r in records if "rate" in r]
    held_out = [r for r in records if r.get("held_out")]
    units = _by_unit(held_out)
    figure = Figure(figsize=(11.0, 2.6 * (2 + len(units))), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=_INK)
    axes = figure.subplots(2 + len(units), 1, sharex=True)
    losses = [k for k in _keys(steps) if k not in _NOT_LOSSES and not k.startswith("computing")]
    _lines(axes[0], steps, losses, "loss")
    for below, (unit, names) in zip(axes[1:-1], units.items(), strict=True):
        _lines(below, held_out, names, unit)
    _lines(axes[-1], steps, ["drawn_per_s", "trained_per_s"], "items per second")
    beside = axes[-1].twinx()
    for name, style in zip(_NO_SPEED, ("--", ":"), strict=True):
        seen = [r for r in steps if name in r]
        if seen:
            beside.plot([_minutes(r) for r in seen], [r[name] for r in seen], style, color=_FAINT, lw=1.2, label=name)
    beside.set_ylim(0.0, 1.05)
    beside.set_ylabel("share of the time", color=_FAINT)
    if beside.lines:
        beside.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(1.05, 0.0))
    axes[-1].set_xlabel("time [min]", color=_INK)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())


def _lines(axes: Axes, records: Records, names: Iterable[str], label: str) -> None:
    for name in names:
        seen = [r for r in records if isinstance(r.get(name), (int, float))]
        axes.plot([_minutes(r) for r in seen], [r[name] for r in seen], ".-", ms=3, lw=1.2, label=name)
    axes.set_ylabel(label, color=_INK)
    axes.grid(color="#e6e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_FAINT, labelsize=9)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK, loc="upper left", bbox_to_anchor=(1.05, 1.0))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))


def _by_unit(records: Records) -> dict[str, list[str]]:
    """Names of held-out figures by the label of their axis."""
    found: dict[str, list[str]] = {}
    for name in _keys(records):
        if name not in ("step", "elapsed_s", "held_out"):
            ending = next(ending for ending in _UNITS if name.endswith(ending))
            found.setdefault(_UNITS[ending], []).append(name)
    return found


def _keys(records: Records) -> list[str]:
    """All names, in the order in which they first come."""
    return list(dict.fromkeys(key for record in records for key in record))


def _minutes(record: Mapping[str, Any]) -> float:
    return float(record["elapsed_s"]) / 60.0
