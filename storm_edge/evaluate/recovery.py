"""Whether losses are detected and recovered from, frame by frame against the truth.

Words used here:

* *wrong*: a pose is reported and its ADD-S is above a tenth of the diameter.
* *hidden*: nothing of the object is visible.
* *tracked*: the state is TRACKING.
* *loss*: begins with a wrong or hidden frame of an object that was tracked before, and lasts until a pose is right
  and something is visible again. It is *detected* in its first frame with an alarm, *healed* when it ends before
  an alarm, and *missed* when the recording ends first.
* *alarm*: the state is LOST, or (for doubts) SUSPECT. SEARCHING and REGISTERING follow LOST and count as it does.
* *false alarm*: an alarm begins although the last reported pose was right and the object is clearly visible.
* *drift*: tracked and wrong, the failure without an alarm.
* *recovery*: after a hidden run, the first tracked and right frame, counted from the first in which anything of the
  object is visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from storm_edge.evaluate.metrics import RECALL_SHARE

TRACKED = "TRACKING"
LOST_ALARM = frozenset({"LOST", "SEARCHING", "REGISTERING"})
DOUBT_ALARM = LOST_ALARM | {"SUSPECT"}
CLEARLY_VISIBLE = 0.5
"""Visible share from which on an alarm at a right pose is false."""
RECOVERY_LIMIT = 30
"""Frames within which a recovery counts in `RecoveryReport.recovered_share`."""


@dataclass(frozen=True, kw_only=True)
class FrameRecord:
    """One object in one frame: what was said and what was true."""

    state: str
    """Reported state, a word of `poses.jsonl`."""
    error_share: float
    """ADD-S of the reported pose over the diameter; infinite where no pose was reported."""
    visible_share: float
    """Visible part of the silhouette, 0 to 1."""

    @property
    def wrong(self) -> bool:
        """Whether a pose was reported that is not right."""
        return bool(np.isfinite(self.error_share)) and self.error_share > RECALL_SHARE

    @property
    def right(self) -> bool:
        """Whether a pose was reported that is right."""
        return self.error_share <= RECALL_SHARE

    @property
    def hidden(self) -> bool:
        """Whether nothing can be seen of the object."""
        return self.visible_share <= 0.0


@dataclass(frozen=True, kw_only=True)
class AlarmReport:
    """How one kind of alarm fits the losses."""

    detected: tuple[int, ...]
    """Frames from the beginning of each detected loss to its alarm; 0 in the same frame."""
    healed_count: int
    """Losses that ended by themselves, without an alarm."""
    missed_count: int
    """Losses without an alarm until the recording ended."""
    false_count: int
    """False alarms."""
    false_per_1000: float
    """False alarms per 1000 frames."""

    @property
    def median_frames(self) -> float | None:
        """Median frames to detect; a missed loss counts as infinite, none at all give None."""
        values = [*self.detected, *[float("inf")] * self.missed_count]
        return float(np.median(values)) if values else None


@dataclass(frozen=True, kw_only=True)
class RecoveryReport:
    """Losses, alarms and recoveries over some recordings."""

    sequence_count: int
    """Recordings."""
    frame_count: int
    """Frames in all of them."""
    lost: AlarmReport
    """Alarm: the track is given up."""
    doubted: AlarmReport
    """Alarm: the pose is doubted or given up."""
    drift_count: int
    """Frames of drift."""
    drift_share: float
    """Part of all frames."""
    hidden_count: int
    """Full occlusions with frames after them."""
    recovered: tuple[int, ...]
    """Frames from reappearing to recovery, for those that recovered."""
    recovered_share: float | None
    """Part of the full occlusions recovered from within `RECOVERY_LIMIT` frames; None where there were none."""

    def sentence(self) -> str:
        """The numbers that matter, in one line."""
        detect, recover = self.lost.median_frames, np.median(self.recovered) if self.recovered else None
        parts = [
            f"{len(self.lost.detected)} losses detected, {self.lost.missed_count} missed",
            "no loss" if detect is None else f"median {detect:g} frames to detect",
            f"{self.lost.false_per_1000:.2f} false alarms per 1000 frames",
            f"silent drift {100.0 * self.drift_share:.2f} % of frames",
        ]
        if self.recovered_share is not None:
            within = round(self.recovered_share * self.hidden_count)
            parts.append(f"{within} of {self.hidden_count} recovered within {RECOVERY_LIMIT} frames")
        if recover is not None:
            parts.append(f"median {recover:g} frames to recover")
        return "; ".join(parts)


def report_recovery(sequences: Sequence[Sequence[FrameRecord]]) -> RecoveryReport:
    """Judge recordings, each the frames of one object in order."""
    frame_count = sum(len(frames) for frames in sequences)
    drift = sum(f.state == TRACKED and f.wrong for frames in sequences for f in frames)
    recoveries = [frames_to_recover for frames in sequences for frames_to_recover in _recoveries(frames)]
    within = sum(r is not None and r <= RECOVERY_LIMIT for r in recoveries)
    return RecoveryReport(
        sequence_count=len(sequences),
        frame_count=frame_count,
        lost=_alarms(sequences, LOST_ALARM, frame_count),
        doubted=_alarms(sequences, DOUBT_ALARM, frame_count),
        drift_count=drift,
        drift_share=drift / max(frame_count, 1),
        hidden_count=len(recoveries),
        recovered=tuple(r for r in recoveries if r is not None),
        recovered_share=within / len(recoveries) if recoveries else None,
    )


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Chance that a positive has a higher score than a negative, ties counted half; NaN where one kind is missing.

    Args:
        scores: ``(N,)``.
        positive: ``(N,)`` bool.
    """
    values, flags = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    positives, negatives = int(flags.sum()), int((~flags).sum())
    if not positives or not negatives:
        return float("nan")
    ranks: NDArray[np.float64] = rankdata(values)
    return float((ranks[flags].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def _alarms(sequences: Sequence[Sequence[FrameRecord]], alarm: frozenset[str], frame_count: int) -> AlarmReport:
    detected: list[int] = []
    healed = missed = false = 0
    for frames in sequences:
        for start, stop in _losses(frames):
            hit = next((i for i in range(start, stop) if frames[i].state in alarm), None)
            if hit is not None:
                detected.append(hit - start)
            elif stop == len(frames):
                missed += 1
            else:
                healed += 1
        false += _false_alarms(frames, alarm)
    return AlarmReport(
        detected=tuple(detected),
        healed_count=healed,
        missed_count=missed,
        false_count=false,
        false_per_1000=1000.0 * false / max(frame_count, 1),
    )


def _losses(frames: Sequence[FrameRecord]) -> list[tuple[int, int]]:
    """First frame and end of each loss. A frame without a pose ends none: an alarm takes the pose away."""
    found, start, tracked = [], None, False
    for i, frame in enumerate(frames):
        tracked = tracked or frame.state == TRACKED
        if start is None and tracked and (frame.wrong or frame.hidden):
            start = i
        elif start is not None and frame.right and not frame.hidden:
            found.append((start, i))
            start, tracked = None, frame.state == TRACKED
    return found if start is None else [*found, (start, len(frames))]


def _false_alarms(frames: Sequence[FrameRecord], alarm: frozenset[str]) -> int:
    """Alarms that begin though the last reported pose was right and the object is clearly visible."""
    count = 0
    last: FrameRecord | None = None  # the newest frame with a pose
    for i, frame in enumerate(frames):
        begins = frame.state in alarm and i > 0 and frames[i - 1].state not in alarm
        # A frame that still has a pose speaks for itself; one without is judged by the pose before.
        judged = frame if np.isfinite(frame.error_share) else last
        if begins and judged is not None and judged.right and frame.visible_share >= CLEARLY_VISIBLE:
            count += 1
        if np.isfinite(frame.error_share):
            last = frame
    return count


def _recoveries(frames: Sequence[FrameRecord]) -> list[int | None]:
    """Frames from reappearing to recovery after each hidden run; None where the next one, or the end, came first."""
    found: list[int | None] = []
    for i in range(1, len(frames)):
        if frames[i].hidden or not frames[i - 1].hidden or not any(f.state == TRACKED for f in frames[:i]):
            continue
        found.append(None)
        for j in range(i, len(frames)):
            if frames[j].hidden:
                break
            if frames[j].state == TRACKED and frames[j].right:
                found[-1] = j - i
                break
    return found
