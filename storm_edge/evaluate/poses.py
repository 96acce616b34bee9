"""Scores of a set of poses: a row per object and a total, as `storm-edge eval poses` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storm_edge.choices import MissingPoses
from storm_edge.evaluate.metrics import RECALL_SHARE
from storm_edge.evaluate.pose_evaluation import PoseEvaluation
from storm_edge.evaluate.pose_rules import PoseRules


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a group of judgements amounts to. Medians are over labels with a pose; None where there is nothing.

    AUCs are to 0.1 m, and labels without a pose are misses in all shares, unless the `PoseRules` say otherwise.
    """

    name: str
    """Object, class of labels, or "all"."""
    label_count: int
    """Labels judged."""
    pose_count: int
    """Labels for which there was a pose."""
    add_recall: float | None
    """Share of labels with ADD below 0.1 d."""
    add_symmetric_recall: float | None
    """Share of labels with ADD to the nearest symmetric truth below 0.1 d."""
    add_s_recall: float | None
    """Share of labels with ADD-S below 0.1 d."""
    add_auc: float | None
    """AUC of ADD to 0.1 m [%]."""
    add_symmetric_auc: float | None
    """AUC of ADD to the nearest symmetric truth to 0.1 m [%]."""
    add_s_auc: float | None
    """AUC of ADD-S to 0.1 m [%]."""
    add_median_m: float | None
    """Median ADD [m]."""
    add_s_median_m: float | None
    """Median ADD-S [m]."""
    rotation_median_deg: float | None
    """Median turn to the nearest symmetric truth [deg]."""
    translation_median_m: float | None
    """Median distance to the nearest symmetric truth [m]."""
    mask_count: int
    """Labels with a mask."""
    iou_mean: float | None
    """Mean IoU of rendered silhouettes and labelled masks, 0 counted where there was no pose."""
    depth_residual_median_m: float | None
    """Median over labels of the median absolute depth residual inside their masks [m]."""


def score(name: str, evaluations: Sequence[PoseEvaluation], rules: PoseRules | None = None) -> Score:
    """Sum up a group of judgements by rules; the default ones if None."""
    rules = rules or PoseRules()
    posed = [j for j in evaluations if j.T_pred is not None]
    counted = evaluations if rules.missing is MissingPoses.COUNT else posed
    ious = [j.iou for j in counted if j.iou is not None]
    residuals = [j.depth_residual_m for j in evaluations if j.depth_residual_m is not None]
    diameters_m = [j.diameter_m for j in counted]
    return Score(
        name=name,
        label_count=len(evaluations),
        pose_count=len(posed),
        add_recall=_mean([j.add_m < RECALL_SHARE * j.diameter_m for j in counted]),
        add_symmetric_recall=_mean([j.add_symmetric_m < RECALL_SHARE * j.diameter_m for j in counted]),
        add_s_recall=_mean([j.add_s_m < RECALL_SHARE * j.diameter_m for j in counted]),
        add_auc=rules.area([j.add_m for j in counted], diameters_m) if counted else None,
        add_symmetric_auc=rules.area([j.add_symmetric_m for j in counted], diameters_m) if counted else None,
        add_s_auc=rules.area([j.add_s_m for j in counted], diameters_m) if counted else None,
        add_median_m=_median([j.add_m for j in posed]),
        add_s_median_m=_median([j.add_s_m for j in posed]),
        rotation_median_deg=_median([j.rotation_deg for j in posed]),
        translation_median_m=_median([j.translation_m for j in posed]),
        mask_count=len(ious),
        iou_mean=_mean(ious),
        depth_residual_median_m=_median(residuals),
    )


def score_poses(evaluations: Sequence[PoseEvaluation], rules: PoseRules | None = None) -> list[Score]:
    """A score per object in order of first appearance, and one over all labels if there are several objects."""
    names = list(dict.fromkeys(j.object_id for j in evaluations))
    scores = [score(name, [j for j in evaluations if j.object_id == name], rules) for name in names]
    return scores + [score("all", evaluations, rules)] if len(names) > 1 else scores


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
