"""Scores of segmentation: IoU, and average precision as COCO and BOP define it, per object and as their mean.

Average precision of an object (COCO): over all images its masks are sorted by score; going down the list each takes
the free true mask of its image that it overlaps most, if the IoU reaches the threshold, else it is false. Precision,
made non-increasing from the right, is read at the recalls 0, 0.01 .. 1 and averaged; then over the thresholds 0.50,
0.55 .. 0.95. NumPy only, no masks are kept: a `MaskEvaluation` holds the overlaps of one object in one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.evaluate.metrics import mask_iou

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""IoU from which a mask counts as right."""
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, kw_only=True)
class MaskEvaluation:
    """The masks of one object in one image against the truth."""

    object_id: str
    """Name of the object."""
    frame_id: int
    """Image number."""
    scores: Float64
    """Scores of the masks that were found, best first, ``(D,)``; empty is the answer "not found"."""
    iou: Float64
    """Their overlaps with the true masks, ``(D, G)``; G = 0 where the object is not in the image."""
    time_s: float | None = None
    """Time that the segmentation took [s]."""

    @property
    def truth_count(self) -> int:
        """Visible instances of the object."""
        return int(self.iou.shape[1])


@dataclass(frozen=True, kw_only=True)
class MaskScore:
    """What a group of judgements amounts to; None where there is nothing to divide by."""

    name: str
    """Object, or "mean" over objects."""
    image_count: int
    """Images judged."""
    truth_count: int
    """True masks in them."""
    iou_mean: float | None
    """Mean over true masks of the overlap with one of the best-scored masks, one per instance; 0 where missed."""
    ap: float | None
    """Average precision over IoU 0.50 to 0.95."""
    ap50: float | None
    """Average precision at IoU 0.5."""
    ap75: float | None
    """Average precision at IoU 0.75."""
    ap_storm: float | None
    """What STORM's evaluation calls AP: of every true mask the share of the same thresholds that the best-scored
    mask's IoU reaches, 0 where missed; their mean (over all true masks, not over objects). Scores have no part."""
    missed_share: float | None
    """Part of the true masks, one per instance, for which nothing was found."""
    absent_count: int
    """Images without the object."""
    absent_right_share: float | None
    """Part of them in which nothing was found."""
    time_mean_s: float | None
    """Mean time per image [s]."""


def evaluate_masks(
    object_id: str,
    frame_id: int,
    truths: Sequence[BoolImage],
    found: Sequence[tuple[BoolImage, float]],
    *,
    time_s: float | None = None,
) -> MaskEvaluation:
    """Compare the masks of one object in one image.

    Args:
        object_id: Name of the object.
        frame_id: Image number.
        truths: Visible part of each instance ``(H, W)``; empty ones are left out, since they cannot be found.
        found: Masks ``(H, W)`` with their scores; empty ones are left out.
        time_s: Time that it took [s].
    """
    visible = [truth for truth in truths if truth.any()]
    kept = sorted((item for item in found if item[0].any()), key=lambda item: -item[1])
    iou = np.array([[mask_iou(mask, truth) for truth in visible] for mask, _ in kept], dtype=np.float64)
    return MaskEvaluation(
        object_id=object_id,
        frame_id=frame_id,
        scores=np.array([score for _, score in kept], dtype=np.float64),
        iou=iou.reshape(len(kept), len(visible)),
        time_s=time_s,
    )


def score_masks(evaluations: Sequence[MaskEvaluation]) -> list[MaskScore]:
    """One score per object, by name, and their mean as the last row when there are several objects."""
    names = sorted({j.object_id for j in evaluations})
    scores = [_score(name, [j for j in evaluations if j.object_id == name]) for name in names]
    if len(scores) < 2:
        return scores
    times = [j.time_s for j in evaluations if j.time_s is not None]
    mean = MaskScore(
        name="mean",
        image_count=sum(s.image_count for s in scores),
        truth_count=sum(s.truth_count for s in scores),
        iou_mean=_mean([s.iou_mean for s in scores]),
        ap=_mean([s.ap for s in scores]),
        ap50=_mean([s.ap50 for s in scores]),
        ap75=_mean([s.ap75 for s in scores]),
        ap_storm=_mean([share for j in evaluations for share in _storm_shares(j)]),
        missed_share=_mean([s.missed_share for s in scores]),
        absent_count=sum(s.absent_count for s in scores),
        absent_right_share=_mean([s.absent_right_share for s in scores]),
        time_mean_s=_mean(times),
    )
    return [*scores, mean]


def average_precision(evaluations: Sequence[MaskEvaluation], threshold: float) -> float | None:
    """AP of one object at one IoU threshold; None where the object is in no image."""
    truth_count = sum(j.truth_count for j in evaluations)
    if not truth_count:
        return None
    scores = np.concatenate([j.scores for j in evaluations])
    right = np.concatenate([_matched(j, threshold) for j in evaluations])
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    recall = hits / truth_count
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[at].mean())  # recalls that are never reached have precision 0


def _score(name: str, evaluations: Sequence[MaskEvaluation]) -> MaskScore:
    by_threshold = {t: average_precision(evaluations, t) for t in THRESHOLDS}
    present = [j for j in evaluations if j.truth_count]
    absent = [j for j in evaluations if not j.truth_count]
    return MaskScore(
        name=name,
        image_count=len(evaluations),
        truth_count=sum(j.truth_count for j in evaluations),
        iou_mean=_mean([value for j in present for value in _best_overlaps(j)]),
        ap=_mean(list(by_threshold.values())),
        ap50=by_threshold[0.5],
        ap75=by_threshold[0.75],
        ap_storm=_mean([share for j in present for share in _storm_shares(j)]),
        missed_share=_mean([share for j in present for share in _missed(j)]),
        absent_count=len(absent),
        absent_right_share=_mean([float(len(j.scores) == 0) for j in absent]),
        time_mean_s=_mean([j.time_s for j in evaluations]),
    )


def _matched(judgement: MaskEvaluation, threshold: float) -> NDArray[np.bool_]:
    """Which of the masks are right, ``(D,)``."""
    free = np.ones(judgement.truth_count, dtype=bool)
    right = np.zeros(len(judgement.scores), dtype=bool)
    for i, overlaps in enumerate(judgement.iou):
        candidates = np.where(free, overlaps, -1.0)
        best = int(np.argmax(candidates)) if len(candidates) else 0
        if len(candidates) and candidates[best] >= threshold:
            right[i], free[best] = True, False
    return right


def _storm_shares(judgement: MaskEvaluation) -> list[float]:
    """For each true mask the share of thresholds that its best overlap reaches (``AP_O`` of STORM)."""
    return [float(np.mean([overlap >= t for t in THRESHOLDS])) for overlap in _best_overlaps(judgement)]


def _best_overlaps(judgement: MaskEvaluation) -> list[float]:
    """For each true mask its largest overlap with the G best-scored masks."""
    best = judgement.iou[: judgement.truth_count]
    return [float(value) for value in best.max(axis=0)] if len(best) else [0.0] * judgement.truth_count


def _missed(judgement: MaskEvaluation) -> list[float]:
    """For each true mask 1 where nothing was found for it, else 0.

    A mask is for the instance that it overlaps most, whatever others are for it, too; one that overlaps none is an
    answer for one of the rest, and wrong, which average precision counts.
    """
    count = judgement.truth_count
    overlapped = {int(np.argmax(overlaps)) for overlaps in judgement.iou if overlaps.any()}
    astray = sum(not overlaps.any() for overlaps in judgement.iou)
    missed = max(0, count - len(overlapped) - astray)
    return [1.0] * missed + [0.0] * (count - missed)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
