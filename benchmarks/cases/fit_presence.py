"""Weights of the presence probability: a logistic regression on poses of searches that were right or wrong.

    python -m benchmarks run fit_presence [--scenes 20] [--first 5000] [--real DATA] [--bundle nano | --colour]
    python -m benchmarks run fit_presence --recorded

Searches of the development images, and with ``--real`` of development recordings, score many poses, each with its
features and the evidence of its shape. In images the overlap with the truth tells right from wrong, in recordings
ADD-S. Objects are looked for in recordings of others, too, where they are absent. Features are brought to unit
deviation, right and wrong poses count alike, and a ridge keeps weights small where features say the same. Printed are
the weights for features as they are, and how well weights that were fitted without a scene order its poses. The
constant is the one of the fit less `MARGIN_LOGIT`: a wrong place that is believed costs more than another search. The
code is not changed: who takes new weights over checks `search` and `recovery` first.

``--recorded`` fits to the poses that `search_calibration.json` holds and gives the shipped weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.cases.first_look import poses_of_recordings
from benchmarks.cases.search import SearchOptions, search_all
from benchmarks.record import RECORDS
from benchmarks.registry import Outcome, case
from storm_edge.errors import InputError, mismatch
from storm_edge.evaluate.recovery import auroc
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence

Float64 = NDArray[np.float64]

RECORDED = "search_calibration"
RIGHT_IOU, WRONG_IOU = 0.6, 0.3
"""Overlap with the truth from which a candidate is right, and below which it is wrong; between them it is neither."""
MOST_OCCLUDED = 0.85
"""Poses of which more is hidden are left out: they are never believed."""
RIDGE = 0.02
"""Weight of the squared coefficients beside the mean log loss."""
MARGIN_LOGIT = 1.7
"""By how much more than even odds all must say, before it counts as a half: the best wrong pose of a scene that the
weights have not seen stays below what is asked for."""
FEATURES = tuple(field.name for kind in (CandidateFeatures, ShapeEvidence) for field in fields(kind)) + ("network",)


@dataclass(frozen=True, kw_only=True)
class FitOptions(SearchOptions):
    """Which candidates the weights are fitted to."""

    scenes: Annotated[int, typer.Option(help="How many images are searched.")] = 20
    first: Annotated[int, typer.Option(help="Number of the first image.")] = 5000
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes that are searched, too.")] = None
    recorded: Annotated[bool, typer.Option("--recorded", help="Fit to the recorded candidates; no search.")] = False


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What the weights are fitted to."""

    scene: NDArray[np.int64]
    """Number of the image, ``(N,)``."""
    is_right: NDArray[np.bool_]
    """Whether the candidate is the object, ``(N,)``."""
    features: Float64
    """In the order of `FEATURES`, ``(N, 18)``."""


@case(record="fit_presence")
def fit_presence(options: FitOptions) -> Outcome:
    """Fit the weights, cross-validate and print them."""
    rows = [] if options.recorded else search_all(options)
    if options.real is not None and not options.recorded:
        rows += poses_of_recordings(options.real, options.bundle)
    candidates = recorded_candidates() if options.recorded else candidates_of(rows)
    right_count = int(candidates.is_right.sum())
    for kind, mask in (("right", candidates.is_right), ("wrong", ~candidates.is_right)):
        if len(np.unique(candidates.scene[mask])) < 2:  # one may be left out
            got = f"{int(mask.sum())} {kind} candidates"
            raise InputError(mismatch("--scenes", got, "some in two images or more", "search more images"))
    weights, constant = fit(candidates.features, candidates.is_right)
    logits = left_out_logits(candidates)
    summary = {
        "source": RECORDED if options.recorded else "colour" if options.colour else options.bundle,
        "candidates": len(candidates.is_right),
        "right": right_count,
        "cross_validated_auroc": round(auroc(logits.tolist(), candidates.is_right.tolist()), 4),
        "best_wrong_logit": round(float(logits[~candidates.is_right].max()), 2),
        "weights": {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)},
        "constant": round(constant - MARGIN_LOGIT, 2),
    }
    for name, value in summary.items():
        print(f"{name:<24} {value}")
    return Outcome(summary=summary, rows=rows)


def candidates_of(rows: list[dict[str, Any]]) -> Candidates:
    """The poses of searches that are clearly right or clearly wrong."""
    seen = [(row["scene"], one) for row in rows for one in row["scored"] if one["occluded"] <= MOST_OCCLUDED]
    kept = [(scene, one) for scene, one in seen if one["iou"] > RIGHT_IOU or one["iou"] < WRONG_IOU]
    return Candidates(
        scene=np.array([scene for scene, _ in kept], dtype=np.int64),
        is_right=np.array([one["iou"] > RIGHT_IOU for _, one in kept], dtype=bool),
        features=np.array([[one[name] for name in FEATURES] for _, one in kept], dtype=np.float64),
    )


def recorded_candidates() -> Candidates:
    """The poses that the shipped weights were fitted to; the record has hundredths."""
    rows = np.array(json.loads((RECORDS / f"{RECORDED}.json").read_text())["rows"], dtype=np.float64)
    return Candidates(scene=rows[:, 0].astype(np.int64), is_right=rows[:, 1] > 0.0, features=rows[:, 2:] / 100.0)


def fit(features: Float64, is_right: NDArray[np.bool_], ridge: float = RIDGE) -> tuple[Float64, float]:
    """Weights ``(F,)`` and constant of the logit, for features as they are.

    Args:
        features: ``(N, F)``.
        is_right: ``(N,)``, with at least one of either kind.
        ridge: Weight of the squared coefficients.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 0.0, deviation, 1.0)
    design = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    each = np.where(is_right, 0.5 / is_right.sum(), 0.5 / (~is_right).sum())
    penalty = np.append(np.full(features.shape[1], ridge), 0.0)  # none on the constant
    solution = np.zeros(design.shape[1])
    for _ in range(50):  # Newton's method; the loss is convex
        chance = 1.0 / (1.0 + np.exp(-design @ solution))
        slope = design.T @ (each * (chance - is_right)) + penalty * solution
        curvature = (design * (each * chance * (1.0 - chance))[:, None]).T @ design + np.diag(penalty)
        solution -= np.linalg.solve(curvature, slope)
    weights = solution[:-1] / deviation
    return weights, float(solution[-1] - weights @ mean)


def left_out_logits(candidates: Candidates) -> Float64:
    """Logits ``(N,)`` by weights that were fitted without the scene of each."""
    logits = np.zeros(len(candidates.is_right))
    for scene in np.unique(candidates.scene):
        inside = candidates.scene == scene
        weights, constant = fit(candidates.features[~inside], candidates.is_right[~inside])
        logits[inside] = candidates.features[inside] @ weights + constant
    return logits
