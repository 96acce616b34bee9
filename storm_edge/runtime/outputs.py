"""What a run leaves behind: a line per frame and object in `poses.jsonl`, and `summary.json`.

The formats are those of docs/architecture.md, section 8; scripts rely on them. Pictures are `overlay`, `video` and
`plots`. Nothing here decides where a run's folder appears; `storm_edge.files.whole_folder` does.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from storm_edge import __version__
from storm_edge.errors import OutputError, bad

Float64 = NDArray[np.float64]

POSES = "poses.jsonl"
SUMMARY = "summary.json"
TOTAL = "total"
"""Name of the stage that sums up the others."""
PERCENTILES = (50, 90, 99)
_LIBRARIES = ("numpy", "warp-lang", "onnxruntime", "opencv-python-headless")


class State(str, Enum):
    """What is known about an object at a frame."""

    SEARCHING = "SEARCHING"
    """Its mask is looked for."""
    REGISTERING = "REGISTERING"
    """The mask is there, the pose is being worked out."""
    TRACKING = "TRACKING"
    """The pose is followed and believed."""
    SUSPECT = "SUSPECT"
    """The pose is followed and doubted."""
    LOST = "LOST"
    """There is no pose to believe."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One object at one frame, as it is reported."""

    frame: int
    """Image number."""
    stamp_ns: int
    """Time of exposure [ns]."""
    object_id: str
    """Name of the object."""
    state: State
    """What is known."""
    T_cam_obj: Float64 | None
    """Object (frame of the model file) to camera [m], shape ``(4, 4)``; None where there is no pose."""
    confidence: float = 0.0
    """How well the pose explains the image, 0 to 1."""
    pose_age_ms: float | None = None
    """Time since the image that the pose belongs to [ms]; None where there is no pose."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """Time spent on this frame by stage [ms]; ``total`` may sum up the others."""

    @property
    def stages_ms(self) -> dict[str, float]:
        """The stages without their total [ms]."""
        return {stage: ms for stage, ms in self.latency_ms.items() if stage != TOTAL}

    @property
    def total_ms(self) -> float:
        """All stages together [ms]."""
        return sum(self.stages_ms.values())

    def line(self) -> str:
        """The line of `poses.jsonl`, without its end."""
        return json.dumps(
            {
                "frame": self.frame,
                "stamp_ns": self.stamp_ns,
                "object": self.object_id,
                "state": self.state.value,
                "T_cam_obj": None if self.T_cam_obj is None else np.asarray(self.T_cam_obj).tolist(),
                "confidence": round(float(self.confidence), 4),
                "pose_age_ms": None if self.pose_age_ms is None else round(float(self.pose_age_ms), 3),
                "latency_ms": {stage: round(float(ms), 3) for stage, ms in self.latency_ms.items()},
            },
            allow_nan=False,
        )


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
            raise OutputError(bad(self.path, "a log that is not open", "a `with` block", "write inside it"))
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


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """``p50``, ``p90``, ``p99``, ``max`` [ms] and ``count`` of some latencies; empty for none."""
    if not values_ms:
        return {}
    values = np.asarray(values_ms, dtype=np.float64)
    found = {f"p{q}": round(float(np.percentile(values, q)), 3) for q in PERCENTILES}
    return found | {"max": round(float(values.max()), 3), "count": len(values)}


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
        "states": {state.value: states.get(state.value, 0) for state in State},
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
    return f"tracker {tracker['kind']}, {tracker['launches']}; second looks: {tracker['second_looks']}"


def write_summary(path: Path | str, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        Path(path).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise _cannot_write(path, error) from error


def versions() -> dict[str, str]:
    """Versions of what decides speed and results; a library that is not installed is left out."""
    found = {name: _version(name) for name in _LIBRARIES}
    known = {name: text for name, text in found.items() if text is not None}
    return {"storm-edge": __version__, "python": platform.python_version()} | known


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cannot_write(path: Path | str, error: OSError) -> OutputError:
    got = error.strerror or error
    return OutputError(bad(path, got, "a file that can be written", "choose another output folder"))
