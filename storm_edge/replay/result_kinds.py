"""What runs over a recorded scene leave in a folder, by command, so that an older result is known again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_edge.bop.scene_pred import SCENE_PRED
from storm_edge.bop.writer import written_files
from storm_edge.parsing import parse_json
from storm_edge.replay.drawing.run_images import OVERLAYS, SHEET, VIDEO
from storm_edge.replay.mask_search import MASKS
from storm_edge.replay.pose_log import POSES
from storm_edge.replay.summary import SUMMARY
from storm_edge.result_kind import ResultKind

BOP_RESULTS = "bop_results.csv"
PLOT = "plot.png"
SCENE = "scene"
"""Folder of the recording that the demo renders, the model in it."""
_OLD_VIDEO = "overlay.mp4"  # of releases before 0.3
_TRACK_KEYS = frozenset(
    {"frame_count", "objects", "states", "pose_count", "latency_ms", "bundle", "device", "versions"}
)


def _tracked(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Overlays of the frames in the log of poses."""
    try:
        lines = (folder / POSES).read_text(encoding="utf-8").splitlines()
        for frame in {parse_json(line)["frame"] for line in lines if line}:
            yield f"{OVERLAYS}/{frame:06d}.png"
    except (OSError, ValueError, KeyError, TypeError):  # edited: the overlays count as somebody's
        return


def _segmented(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Masks and overlays of the images that the summary lists."""
    results = content.get("results")
    for entry in results if isinstance(results, list) else []:
        if isinstance(entry, dict):
            if isinstance(frame := entry.get("frame"), int):
                yield f"{OVERLAYS}/{frame:06d}.png"
            if isinstance(mask := entry.get("mask"), str):
                yield mask


def _demonstrated(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """The same, and the recording."""
    yield from _tracked(folder, content)
    yield from (f"{SCENE}/{name}" for name in written_files(folder / SCENE))


def _has_plot(folder: Path, content: Mapping[str, Any]) -> bool:
    return (folder / PLOT).is_file()


TRACK = ResultKind(
    command="storm-edge track",
    marker=SUMMARY,
    keys=_TRACK_KEYS,
    names=frozenset({POSES, BOP_RESULTS, VIDEO, _OLD_VIDEO, SHEET}),
    folders=frozenset({OVERLAYS}),
    listed=_tracked,
)
"""Of `track`."""
DEMO = ResultKind(
    command="storm-edge demo",
    marker=SUMMARY,
    keys=_TRACK_KEYS,
    names=TRACK.names | {PLOT},
    folders=TRACK.folders,
    listed=_demonstrated,
    is_older=_has_plot,
)
"""Of `demo`: a run of `track`, a plot, and the recording."""
ESTIMATE = ResultKind(
    command="storm-edge estimate",
    marker=SUMMARY,
    keys=frozenset({"scene", "objects", "frame_count", "pose_count", "missed", "engines"}),
    names=frozenset({BOP_RESULTS, SCENE_PRED}),
)
"""Of `estimate`, a scene."""
SEGMENT = ResultKind(
    command="storm-edge segment",
    marker=SUMMARY,
    keys=frozenset({"scene", "objects", "frame_count", "found_count", "verified", "latency_ms", "results"}),
    names=frozenset({SHEET}),
    folders=frozenset({MASKS, OVERLAYS}),
    listed=_segmented,
)
"""Of `segment`."""
