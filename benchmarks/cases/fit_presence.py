"""Weights of the presence probability: a logistic regression on poses of searches that were right or wrong.

    python -m benchmarks run fit_presence [--scenes 20] [--first 5000] [--real DATA] [--save FILE] [--bundle nano]
    python -m benchmarks run fit_presence --poses FILE [--record search_calibration]
    python -m benchmarks run fit_presence --recorded

Searches of development images, several objects that are there and several that are not in each, and with ``--real``
of development recordings, score many poses, each with its features and the evidence of its shape; ``--save`` keeps
them, ``--poses`` reads what was kept. Objects are looked for in recordings of others, too, where they are
absent. In images the overlap with the truth tells right from wrong, in recordings ADD-S; a pose that shows another
side of a painted object is neither: its pattern speaks against it, as it should.

A search believes its best pose. So of each search the right poses count as one, and the wrong ones, by a soft maximum
of what the weights so far say, in `ROUNDS` rounds. Right and wrong searches count alike, a right one of a recording
`REAL_WEIGHT` times. A ridge keeps weights small where features say the same. Printed are the weights for features as
they are, and what weights that were fitted without a search's images say of it, at several bounds. The constant is
the one of the fit less `MARGIN_LOGIT`: a wrong place that is believed costs more than another search. The code is not
changed: who takes new weights over checks `search` and `recovery` first.

The record holds the poses that bear on the fit; ``--recorded`` fits to them and gives the shipped weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.cases.first_look import poses_of_recordings
from benchmarks.cases.search import SearchOptions, search_all
from benchmarks.presence_poses import FEATURES, Poses, pose_rows, read_rows, recorded_poses, save_rows
from benchmarks.registry import Outcome, case
from storm_edge.errors import InputError, mismatch

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RECORDED = "search_calibration"
RIDGE, RIDGE_SEARCHES = 0.02, 0.01
"""Weight of the squared coefficients beside the mean log loss: of poses that count alike, and of searches."""
ROUNDS = 3
"""Fits in which the weight of each pose follows the fit before."""
REAL_WEIGHT = 3.0
"""What a right search of a recording counts: few objects are recorded, and none is as clean as a made-up one."""
FOLDS = 20
"""Images and recordings are left out in so many parts."""
MARGIN_LOGIT = 0.5
"""By how much more than even odds all must say, before it counts as a half."""
BOUNDS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)
"""Presence probabilities at which the left-out searches are counted."""
LEAST_COUNT = 0.25
"""Poses that count less beside a better one of their search and kind are not recorded."""


@dataclass(frozen=True, kw_only=True)
class FitOptions(SearchOptions):
    """Which poses the weights are fitted to."""

    scenes: Annotated[int, typer.Option(help="How many images are searched.")] = 20
    first: Annotated[int, typer.Option(help="Number of the first image.")] = 5000
    there: Annotated[int, typer.Option(help="Objects looked for in each that are there.")] = 4
    absent: Annotated[int, typer.Option(help="And those that are not.")] = 5
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes that are searched, too.")] = None
    save: Annotated[Path | None, typer.Option(help="File that keeps all poses.")] = None
    poses: Annotated[Path | None, typer.Option(help="Fit to poses that were kept; no search.")] = None
    recorded: Annotated[bool, typer.Option("--recorded", help="Fit to the recorded poses; no search.")] = False


@case(record="fit_presence")
def fit_presence(options: FitOptions) -> Outcome:
    """Fit the weights, cross-validate and print them."""
    poses = _poses(options)
    for kind, mask in (("right", poses.is_right), ("wrong", poses.is_wrong)):
        if len(np.unique(poses.scene[mask])) < 2:  # one may be left out
            got = f"{int(mask.sum())} {kind} poses"
            raise InputError(mismatch("--scenes", got, "some in two images or more", "search more images"))
    figures: dict[str, Any] = {"source": RECORDED if options.recorded else options.bundle}
    if not options.recorded:
        figures |= {"all_poses": len(poses.scene), "left_out": said_at(poses, left_out_logits(poses))}
        poses = best_poses(poses)
    weights, constant = fit_searches(poses)
    figures |= {
        "poses": len(poses.scene),
        "searches": len(np.unique(poses.search)),
        "weights": {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)},
        "constant": round(constant - MARGIN_LOGIT, 2),
    }
    for name, value in figures.items():
        print(f"{name:<24} {value}")
    return Outcome(summary=figures | poses.written())


def _poses(options: FitOptions) -> Poses:
    if options.recorded:
        return recorded_poses(RECORDED)
    if options.poses is not None:
        return Poses.of(read_rows(options.poses))
    rows = search_all(options)
    if options.real is not None:
        rows += poses_of_recordings(options.real, options.bundle)
    kept = pose_rows(rows)
    if options.save is not None:
        save_rows(options.save, kept)
    return Poses.of(kept)


def fit(
    features: Float64, is_right: Bool, ridge: float = RIDGE, weight: Float64 | None = None
) -> tuple[Float64, float]:
    """Weights ``(F,)`` and constant of the logit, for features as they are.

    Args:
        features: ``(N, F)``.
        is_right: ``(N,)``, with at least one of either kind.
        ridge: Weight of the squared coefficients.
        weight: What each counts among its kind ``(N,)``; the same where None. Both kinds count alike.
    """
    among = np.ones(len(features)) if weight is None else weight
    each = np.where(is_right, 0.5 * among / among[is_right].sum(), 0.5 * among / among[~is_right].sum())
    mean = np.average(features, axis=0, weights=among)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=among))
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    design = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    penalty = np.append(np.full(features.shape[1], ridge), 0.0)  # none on the constant
    solution = np.zeros(design.shape[1])
    for _ in range(50):  # Newton's method; the loss is convex
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ solution, -30.0, 30.0)))
        slope = design.T @ (each * (chance - is_right)) + penalty * solution
        curvature = (design * (each * chance * (1.0 - chance))[:, None]).T @ design + np.diag(penalty)
        solution -= np.linalg.solve(curvature, slope)
    weights = solution[:-1] / deviation
    return weights, float(solution[-1] - weights @ mean)


def fit_searches(poses: Poses) -> tuple[Float64, float]:
    """Weights ``(F,)`` and constant of the logit, where of each search the best pose of either kind counts."""
    known = poses.among(poses.is_right | poses.is_wrong)
    logits = np.zeros(len(known.scene))
    weights, constant = np.zeros(known.features.shape[1]), 0.0
    for _ in range(ROUNDS):
        weights, constant = fit(known.features, known.is_right, RIDGE_SEARCHES, _counts(known, logits))
        logits = known.features @ weights + constant
    return weights, constant


def _counts(poses: Poses, logits: Float64) -> Float64:
    """What each pose counts ``(N,)``: those of one search and kind together 1, by a soft maximum of their logits."""
    _, kind = np.unique(2 * poses.search + poses.is_right, return_inverse=True)
    best = np.full(kind.max() + 1, -np.inf)
    np.maximum.at(best, kind, logits)
    share = np.exp(logits - best[kind])
    share /= np.bincount(kind, share)[kind]
    return np.where(poses.is_right & poses.is_real, REAL_WEIGHT, 1.0) * share


def left_out_logits(poses: Poses) -> Float64:
    """Logits ``(N,)`` by weights that were fitted without the scene of each."""
    _, number = np.unique(poses.scene, return_inverse=True)
    logits = np.zeros(len(number))
    for part in range(min(FOLDS, int(number.max()) + 1)):
        inside = number % FOLDS == part
        weights, constant = fit_searches(best_poses(poses.among(~inside)))
        logits[inside] = poses.features[inside] @ weights + constant
    return logits


def best_poses(poses: Poses) -> Poses:
    """The poses of each search that bear on a fit, the best of either kind, as the record has them."""
    known = poses.among(poses.is_right | poses.is_wrong)
    weights, constant = fit_searches(known)
    return known.among(_counts(known, known.features @ weights + constant) > LEAST_COUNT).rounded()


def said_at(poses: Poses, logits: Float64) -> dict[str, list[float]]:
    """What a search comes to that believes its best pose, at each of `BOUNDS`."""
    first: dict[int, int] = {}
    for index in np.argsort(-logits, kind="stable"):
        first.setdefault(int(poses.search[index]), int(index))
    best = np.array(list(first.values()))
    said, there, real = logits[best] - MARGIN_LOGIT, poses.is_there[best], poses.is_real[best]
    right = there & ~poses.is_wrong[best]
    asked = [float(np.log(bound / (1.0 - bound))) for bound in BOUNDS]

    def shares(which: Bool, among: Bool) -> list[float]:
        return [round(float((which & (said > least))[among].mean()), 4) if among.any() else 0.0 for least in asked]

    return {
        "bounds": list(BOUNDS),
        "images_found": shares(right, there & ~real),
        "images_absent_found": shares(~there, ~there & ~real),
        "recordings_found": shares(right, there & real),
        "recordings_absent_found": shares(~there, ~there & real),
        "another_place_found": shares(~right, there),
    }
