"""What is reported of one object at one frame: its state, its pose and how old that is, its latency.

The line that a report becomes in `poses.jsonl` is a contract, docs/output-files.md; files are written in `replay`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from storm_edge.live.frame_gate import SkipReason
from storm_edge.pipeline.side.ambiguity import Ambiguity

Float64 = NDArray[np.float64]

TOTAL = "total"
"""Name of the stage that sums up the others."""


class TrackState(str, Enum):
    """What is known about an object at a frame."""

    SEARCHING = "SEARCHING"
    """The object is searched for."""
    REGISTERING = "REGISTERING"
    """A candidate was found; its pose is worked out and checked."""
    TRACKING = "TRACKING"
    """The pose is tracked and trusted."""
    SUSPECT = "SUSPECT"
    """The pose is tracked, and its scores are low or missing."""
    LOST = "LOST"
    """The track was given up in this frame; there is no pose."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One object at one frame, as it is reported."""

    frame: int
    """Image number."""
    stamp_ns: int
    """Time of exposure [ns]."""
    object_id: str
    """Name of the object."""
    state: TrackState
    """What is known."""
    T_cam_obj: Float64 | None
    """Object (frame of the model file) to camera [m], shape ``(4, 4)``; None where there is no pose."""
    confidence: float = 0.0
    """How well the pose explains the image, 0 to 1."""
    ambiguous: Ambiguity | None = None
    """What the images so far cannot tell of its turn about an axis of the object; None where nothing is."""
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
                "ambiguous": None if self.ambiguous is None else self.ambiguous.as_json(),
                "pose_age_ms": None if self.pose_age_ms is None else round(float(self.pose_age_ms), 3),
                "latency_ms": {stage: round(float(ms), 3) for stage, ms in self.latency_ms.items()},
            },
            allow_nan=False,
        )


@dataclass(frozen=True, kw_only=True)
class FrameResult:
    """What `Session.step` made of one frame."""

    tracks: list[Track] = field(default_factory=list)
    """One per object, in the order of `Session.objects`; empty where the frame was skipped."""
    skipped_reason: SkipReason | None = None
    """Why the frame was not used; None if it was."""

    @property
    def is_skipped(self) -> bool:
        """Whether the frame was not used."""
        return self.skipped_reason is not None
