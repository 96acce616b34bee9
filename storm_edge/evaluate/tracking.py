"""How well one object was followed: scores per class of labels, the worst image, losses and jitter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from storm_edge.evaluate.metrics import RECALL_SHARE
from storm_edge.evaluate.pose_evaluation import PoseEvaluation
from storm_edge.evaluate.poses import Score, score
from storm_edge.evaluate.recovery import FrameRecord, RecoveryReport, report_recovery
from storm_edge.geometry.se3 import invert, rotation_angle

JUDGED_CLASSES = ("A", "B")
"""Classes of `pose_quality.json` that are good enough to be judged by; the others are scored but not judged."""


@dataclass(frozen=True, kw_only=True)
class TrackingReport:
    """One object over one recording."""

    object_id: str
    """Name of the object."""
    frame_count: int
    """Labelled images."""
    pose_count: int
    """Labelled images with a pose."""
    judged: Score
    """Over the judged labels: classes A and B, or all where the scene has no classes."""
    classes: list[Score]
    """One score per class of labels; empty where the scene has none."""
    worst_frame: int | None
    """Judged image with the largest ADD to the nearest symmetric truth; the first one without a pose beats all."""
    worst_add_m: float | None
    """That ADD [m]; None without a pose."""
    loss_count: int
    """Runs of judged images with ADD to the nearest symmetric truth of 0.1 d and more, or without a pose."""
    longest_loss_frames: int
    """Judged images in the longest of them."""
    recovery: RecoveryReport | None
    """Whether it was known that it was lost, and found again; None where that cannot be told."""
    recovery_unknown: str | None
    """Why it cannot be told."""
    unreported_count: int
    """Labelled images of which nothing was said; they count as lost above and are left out of ``recovery``."""
    jitter_translation_m: float | None
    """Median change of the position error between neighbouring images with poses [m]."""
    jitter_rotation_deg: float | None
    """Median change of the rotation error between neighbouring images with poses [deg]."""

    def sentence(self) -> str:
        """What the table of scores does not show."""
        worst = "no judged frame"
        if self.worst_frame is not None:
            error = "no pose" if self.worst_add_m is None else f"ADD {self.worst_add_m * 1e3:.1f} mm"
            worst = f"worst frame {self.worst_frame} ({error})"
        losses = f"{self.loss_count} losses"
        if self.loss_count:
            losses += f", the longest {self.longest_loss_frames} frames"
        parts = [worst, losses]
        if self.jitter_translation_m is not None and self.jitter_rotation_deg is not None:
            parts.append(f"jitter {self.jitter_translation_m * 1e3:.2f} mm, {self.jitter_rotation_deg:.2f} deg")
        return "; ".join(parts)

    def recovery_sentence(self) -> str:
        """What is known of losses and recoveries, or why nothing is."""
        if self.recovery is None:
            return f"loss detection: not judged, {self.recovery_unknown}"
        left_out = f"; {self.unreported_count} unreported frames left out" if self.unreported_count else ""
        return f"loss detection: {self.recovery.sentence()}{left_out}"


def by_instance(evaluations: Sequence[PoseEvaluation]) -> list[list[PoseEvaluation]]:
    """The judgements of each object, and of each instance of one, which are named ``NAME#2`` from the second on."""
    groups: dict[tuple[str, int], list[PoseEvaluation]] = {}
    for j in evaluations:
        name = j.object_id if j.instance == 0 else f"{j.object_id}#{j.instance + 1}"
        groups.setdefault((j.object_id, j.instance), []).append(replace(j, object_id=name))
    return list(groups.values())


def report_tracking(evaluations: Sequence[PoseEvaluation]) -> TrackingReport:
    """Sum up the judgements of one object, in the order of the recording."""
    classes = sorted({j.quality for j in evaluations if j.quality is not None})
    judged = [j for j in evaluations if j.quality in JUDGED_CLASSES] if classes else list(evaluations)
    worst = max(judged, key=lambda j: j.add_symmetric_m, default=None)
    runs = _loss_runs(judged)
    moves, turns = _jitter(evaluations)
    reported = [j for j in evaluations if j.state is not None]
    unknown = _why_unknown(reported)
    return TrackingReport(
        object_id=evaluations[0].object_id,
        frame_count=len(evaluations),
        pose_count=sum(j.T_pred is not None for j in evaluations),
        judged=score("judged", judged),
        classes=[score(f"class {name}", [j for j in evaluations if j.quality == name]) for name in classes],
        worst_frame=None if worst is None else worst.frame_id,
        worst_add_m=None if worst is None or worst.T_pred is None else worst.add_symmetric_m,
        loss_count=len(runs),
        longest_loss_frames=max(runs, default=0),
        recovery=None if unknown else report_recovery([[_record(j) for j in reported]]),
        recovery_unknown=unknown,
        unreported_count=len(evaluations) - len(reported),
        jitter_translation_m=float(np.median(moves)) if moves else None,
        jitter_rotation_deg=float(np.median(turns)) if turns else None,
    )


def _why_unknown(reported: Sequence[PoseEvaluation]) -> str | None:
    """Why losses and alarms cannot be judged; None if they can."""
    if not reported:
        return "the predictions name no state of the track"
    blind = sum(j.visible_share is None for j in reported)
    if blind:
        return (
            f"the scene does not say how much of the object is visible in {blind} of {len(reported)} images "
            "(visib_fract in scene_gt_info.json, or mask and mask_visib)"
        )
    return None


def _record(judgement: PoseEvaluation) -> FrameRecord:
    assert judgement.state is not None
    assert judgement.visible_share is not None
    return FrameRecord(
        state=judgement.state,
        error_share=judgement.add_s_m / judgement.diameter_m,
        visible_share=judgement.visible_share,
    )


def _loss_runs(judged: Sequence[PoseEvaluation]) -> list[int]:
    """Lengths of the runs of lost images."""
    runs, length = [], 0
    for j in judged:
        if j.add_symmetric_m < RECALL_SHARE * j.diameter_m:
            if length:
                runs.append(length)
            length = 0
        else:
            length += 1
    return [*runs, length] if length else runs


def _jitter(evaluations: Sequence[PoseEvaluation]) -> tuple[list[float], list[float]]:
    """Changes [m] and [deg] of the error ``T_true^-1 T_pred`` between neighbours that both have a pose.

    An error that stays, such as an offset of the labels, is not jitter and cancels.
    """
    moves, turns = [], []
    for before, after in pairwise(evaluations):
        if before.T_pred is None or after.T_pred is None:
            continue
        error_before = invert(before.T_true) @ before.T_pred
        error_after = invert(after.T_true) @ after.T_pred
        moves.append(float(np.linalg.norm(error_after[:3, 3] - error_before[:3, 3])))
        turns.append(float(np.rad2deg(rotation_angle(error_after[:3, :3], error_before[:3, :3]))))
    return moves, turns
