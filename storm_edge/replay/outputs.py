"""What a run leaves behind: a line per frame and object in `poses.jsonl`, and `summary.json`.

The formats are those of docs/architecture.md, section 8; scripts rely on them. Pictures are `overlay`, `video` and
`plots`. Nothing here decides where a run's folder appears; `storm_edge.files.atomic_folder` does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.environment import versions
from storm_edge.errors import OutputError, mismatch
from storm_edge.live.track_report import Track, TrackState
from storm_edge.percentiles import percentiles

Float64 = NDArray[np.float64]

POSES = "poses.jsonl"
SUMMARY = "summary.json"


class PoseLog:
    """Writes `poses.jsonl` line by line; each line is on disk before the next frame starts.

    A context manager. The file has the name ``NAME.part`` until the block ends without an error.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(self.path.name + ".part")
        self._stream: IO[str] | None = None

    def __enter__(self) -> PoseLog:
        try:
            self._stream = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        return self

    def write(self, track: Track) -> None:
        """Append one line.

        Raises:
            OutputError: The log is not open, or the disk does not take it.
        """
        if self._stream is None:
            raise OutputError(mismatch(self.path, "a log that is not open", "a `with` block", "write inside it"))
        try:
            self._stream.write(track.line() + "\n")
            self._stream.flush()
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        try:
            self._part.replace(self.path)
        except OSError as error:
            raise _cannot_write(self.path, error) from error


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


def write_summary(path: Path | str, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        Path(path).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path | str, error: OSError) -> OutputError:
    got = error.strerror or error
    return OutputError(mismatch(path, got, "a file that can be written", "choose another output folder"))
