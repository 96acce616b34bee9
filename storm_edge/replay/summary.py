"""`summary.json`: what a run did as a whole, and the lines that say it to people.

The keys are those of docs/output-files.md; scripts rely on them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storm_edge.environment import versions
from storm_edge.files import cannot_write
from storm_edge.live.track_report import Track, TrackState
from storm_edge.percentiles import percentiles

SUMMARY = "summary.json"
"""Name of the file."""


def summarise(tracks: Sequence[Track], *, bundle: str, device: str, **more: Any) -> dict[str, Any]:
    """The content of `summary.json`.

    Args:
        tracks: Everything that was reported.
        bundle: Name of the network bundle.
        device: Device the run was on.
        more: Further entries of the run, JSON types.
    """
    stages: dict[str, list[float]] = {}
    for track in tracks:
        for stage, ms in track.latency_ms.items():
            stages.setdefault(stage, []).append(ms)
    states = Counter(track.state.value for track in tracks)
    return {
        "frame_count": len({track.frame for track in tracks}),
        "objects": sorted({track.object_id for track in tracks}),
        "states": {state.value: states.get(state.value, 0) for state in TrackState},
        "pose_count": sum(track.T_cam_obj is not None for track in tracks),
        "latency_ms": {stage: percentiles(values) for stage, values in stages.items()},
        "bundle": bundle,
        "device": device,
        "versions": versions(),
        **more,
    }


def describe_frames(counts: Mapping[str, int]) -> str | None:
    """What was out of the ordinary with a camera's frames, in words; None where nothing was.

    Args:
        counts: ``frames`` of the faults in `summary.json`.
    """
    found = [f"{what.replace('_', ' ')} {count}" for what, count in counts.items() if count]
    return f"frames: {', '.join(found)}" if found else None


def describe_tracker(tracker: Mapping[str, Any]) -> str:
    """How objects were followed, in a line; ``tracker`` as in `summary.json`."""
    if "launches" not in tracker:
        return f"tracker {tracker['kind']}"
    return f"tracker {tracker['kind']}, {tracker['launches']}; stepwise fallbacks: {tracker['fallback_count']}"


def describe_engines(engines: Mapping[str, Any]) -> str:
    """By which schedule poses were made, and which networks were launched how often; ``engines`` as in
    `summary.json`."""
    launched = [f"{name} {count}" for name, count in engines["launches"].items() if count]
    return f"schedule {engines['schedule']}; launches: {', '.join(launched) or 'none'}"


def write_summary(path: Path | str, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        Path(path).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
