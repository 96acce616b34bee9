"""One page about a run: error over time, time spent per frame, and the states as coloured bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storm_edge.files import cannot_write
from storm_edge.live.track_report import Track, TrackState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Float64 = NDArray[np.float64]

_INK, _FAINT = "#2b2f36", "#8a919c"
_LINES = ("#2f6fde", "#e07b27", "#7a4fd0", "#159a8c", "#c2417c")
_BANDS = {
    TrackState.SEARCHING: "#d9dce1",
    TrackState.REGISTERING: "#cfe2ff",
    TrackState.TRACKING: "#ffffff",
    TrackState.SUSPECT: "#ffe9bd",
    TrackState.LOST: "#fbd0d0",
}


def plot_run(
    path: Path | str,
    tracks: Sequence[Track],
    *,
    title: str,
    errors_m: Mapping[str, Mapping[int, float]] | None = None,
    limit_m: float | None = None,
) -> None:
    """Draw one object's run and write it as PNG (or whatever the suffix says).

    Args:
        path: File to write.
        tracks: The tracks of one object in order.
        title: Heading of the page.
        errors_m: Curves of the upper panel: name to error [m] by frame number; infinite where there is no pose.
        limit_m: A line across the upper panel, such as a tenth of the diameter [m].

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 6.4), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=_INK)
    frames = np.array([track.frame for track in tracks])
    if errors_m:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        _draw_errors(upper, errors_m, limit_m)
        _draw_bands(upper, tracks)
    else:
        lower = figure.subplots(1, 1)
    _draw_latency(lower, tracks)
    _draw_bands(lower, tracks)
    lower.set_xlabel("frame", color=_INK)
    if len(frames) > 1:
        lower.set_xlim(frames[0], frames[-1])
    _add_band_legend(figure, tracks)
    try:
        figure.savefig(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _draw_errors(axes: Axes, errors_m: Mapping[str, Mapping[int, float]], limit_m: float | None) -> None:
    for colour, (name, by_frame) in zip(_LINES, errors_m.items(), strict=False):
        frames = sorted(by_frame)
        values = np.array([by_frame[frame] for frame in frames]) * 1e3
        finite = values[np.isfinite(values)]
        label = f"{name}, median {np.median(finite):.1f} mm" if len(finite) else name
        axes.plot(frames, np.where(np.isfinite(values), values, np.nan), color=colour, lw=1.4, label=label)
    if limit_m is not None:
        axes.axhline(limit_m * 1e3, color=_FAINT, lw=1.0, ls=(0, (5, 4)))
        axes.annotate(
            f"0.1 d = {limit_m * 1e3:.1f} mm",
            (1.0, limit_m * 1e3),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=_FAINT,
        )
    axes.set_ylim(bottom=0.0)
    _dress(axes, "error [mm]")


def _draw_latency(axes: Axes, tracks: Sequence[Track]) -> None:
    """Stages stacked; the axis ends where the slow frames (registration) would flatten all others."""
    frames = np.array([track.frame for track in tracks])
    stages = list(dict.fromkeys(stage for track in tracks for stage in track.stages_ms))
    bottom = np.zeros(len(tracks))
    for colour, stage in zip(_LINES, stages, strict=False):
        values = np.array([track.stages_ms.get(stage, 0.0) for track in tracks])
        used = values[values > 0.0]
        label = f"{stage}, p50 {np.median(used):.1f} ms" if len(used) else stage
        axes.bar(frames, values, bottom=bottom, width=1.0, color=colour, alpha=0.85, label=label)
        bottom += values
    if len(bottom) and bottom.max() > 0.0:
        top = min(1.05 * float(bottom.max()), 2.5 * float(np.percentile(bottom, 90)))
        axes.set_ylim(0.0, top)
        for frame, total in zip(frames, bottom, strict=True):
            if total > 2.0 * top:  # nearer ones would write over each other
                axes.annotate(
                    f"{total:.0f} ms", (float(frame), top), xytext=(3, -10), textcoords="offset points", fontsize=7,
                    color=_INK, annotation_clip=False,
                )  # fmt: skip
    _dress(axes, "time per frame [ms]")


def _dress(axes: Axes, label: str) -> None:
    axes.set_ylabel(label, color=_INK)
    axes.grid(axis="y", color="#e6e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_FAINT, labelsize=9)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            ncols=len(_LINES),
            frameon=False,
            fontsize=9,
            labelcolor=_INK,
        )


def _runs(tracks: Sequence[Track]) -> list[tuple[TrackState, int, int]]:
    """State, first and last frame of every run of equal states."""
    runs: list[tuple[TrackState, int, int]] = []
    for track in tracks:
        if runs and runs[-1][0] == track.state:
            runs[-1] = (track.state, runs[-1][1], track.frame)
        else:
            runs.append((track.state, track.frame, track.frame))
    return runs


def _draw_bands(axes: Axes, tracks: Sequence[Track]) -> None:
    for state, first, last in _runs(tracks):
        if state is not TrackState.TRACKING:
            axes.axvspan(first - 0.5, last + 0.5, color=_BANDS[state], lw=0, zorder=0)


def _add_band_legend(figure: Figure, tracks: Sequence[Track]) -> None:
    from matplotlib.patches import Patch

    present = [state for state in TrackState if any(track.state is state for track in tracks)]
    patches = [Patch(facecolor=_BANDS[state], edgecolor=_FAINT, lw=0.6, label=state.value) for state in present]
    figure.legend(
        handles=patches, loc="outside upper right", ncols=len(patches), frameon=False, fontsize=8, labelcolor=_INK
    )
