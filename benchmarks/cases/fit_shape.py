"""Weights of the evidence of shape, for tracks of models without colours: a logistic regression on recorded poses.

    python -m benchmarks run fit_shape

The poses are in ``records/shape_calibration.json``: those that searches of development recordings and images tried,
and the true ones. Right and wrong ones count alike. Printed are the weights, and how well weights that were fitted
without a scene order its poses. `ShapeWeights.constant` is the constant less `MARGIN_LOGIT`: a wrong place that is
believed costs more than another search. What a search goes by is fitted by `fit_colourless`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases.fit_presence import fit
from benchmarks.record import RECORDS
from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.evaluate.recovery import auroc
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence

Float64 = NDArray[np.float64]

RECORDED = "shape_calibration"
RIDGE = 0.02
"""Weight of the squared coefficients beside the mean log loss."""
MARGIN_LOGIT = 2.5
"""By how much more than even odds the shape must say, before it counts as a half."""
WITHOUT = ("open_outline", "open_sectors", "open_goes_on", "blocked")
"""Evidence that is not recorded, and has no weight."""
EVIDENCE = tuple(field.name for field in fields(ShapeEvidence) if field.name not in WITHOUT)


@dataclass(frozen=True, kw_only=True)
class FitShapeOptions(RecordOptions):
    """There are none of its own."""


@dataclass(frozen=True, kw_only=True)
class Poses:
    """What the weights are fitted to."""

    scene: NDArray[np.int64]
    """Number of the recording or image, ``(N,)``."""
    is_right: NDArray[np.bool_]
    """Whether the object is there, ``(N,)``."""
    evidence: Float64
    """In the order of `EVIDENCE`, ``(N, 9)``."""


def recorded_poses() -> Poses:
    """The poses that the shipped weights were fitted to; the record has hundredths."""
    rows = np.array(json.loads((RECORDS / f"{RECORDED}.json").read_text())["rows"], dtype=np.float64)
    return Poses(scene=rows[:, 0].astype(np.int64), is_right=rows[:, 1] > 0.0, evidence=rows[:, 2:] / 100.0)


def left_out_logits(poses: Poses) -> Float64:
    """Logits ``(N,)`` by weights that were fitted without the scene of each."""
    logits = np.zeros(len(poses.is_right))
    for scene in np.unique(poses.scene):
        inside = poses.scene == scene
        weights, constant = fit(poses.evidence[~inside], poses.is_right[~inside], RIDGE)
        logits[inside] = poses.evidence[inside] @ weights + constant
    return logits


@case(record="fit_shape")
def fit_shape(options: FitShapeOptions) -> Outcome:
    """Fit the weights and print them."""
    poses = recorded_poses()
    weights, constant = fit(poses.evidence, poses.is_right, RIDGE)
    logits = left_out_logits(poses)
    summary = {
        "poses": len(logits),
        "right": int(poses.is_right.sum()),
        "cross_validated_auroc": round(auroc(logits.tolist(), poses.is_right.tolist()), 4),
        "best_wrong_logit": round(float(logits[~poses.is_right].max()), 2),
        "weights": {name: round(float(weight), 2) for name, weight in zip(EVIDENCE, weights, strict=True)},
        "constant": round(constant - MARGIN_LOGIT, 2),
    }
    for name, value in summary.items():
        print(f"{name:<24} {value}")
    return Outcome(summary=summary)
