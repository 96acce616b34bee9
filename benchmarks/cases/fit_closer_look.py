"""What a closer look at a doubtful place is worth: a logistic regression on looks at right and at wrong places.

    python -m benchmarks run fit_closer_look [--scenes 40] [--first 5100] [--real DATA] [--bundle nano] [--jobs 2]

Searches of development images, and with ``--real`` of development recordings, look closer wherever they are not quite
certain (`pipeline.detect.closer_look`). Each look is right or wrong as in `fit_presence`. Printed are the weights of
the logit before it and of what small print says, and how many looks are told by weights that had not seen their image
or recording: with both, and by the first probability alone. The constant is the fit's and the logit of
`DetectConfig.min_probability`, so that even odds reach that. The code is not changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.cases.first_look import poses_of_recordings
from benchmarks.cases.fit_presence import FOLDS, RIDGE, fit
from benchmarks.cases.search import SearchOptions, search_all
from benchmarks.presence_poses import RIGHT_IOU, WRONG_IOU
from benchmarks.registry import Outcome, case
from storm_edge.errors import InputError, mismatch
from storm_edge.pipeline.detect.candidate_scoring import logit_of
from storm_edge.pipeline.detect.config import DetectConfig

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

LEAST = 0.02
"""Places with a presence probability from this to one minus this are looked at: more than a search doubts."""
EVERY = 6
"""Frames of a recording between those that are searched."""
_PER_LINE = 12
COLUMNS = ("scene", "is_real", "is_right", "first", "detail")


@dataclass(frozen=True, kw_only=True)
class CloserLookOptions(SearchOptions):
    """Which looks the weights are fitted to."""

    scenes: Annotated[int, typer.Option(help="How many images are searched.")] = 40
    first: Annotated[int, typer.Option(help="Number of the first image.")] = 5100
    there: Annotated[int, typer.Option(help="Objects looked for in each that are there.")] = 6
    absent: Annotated[int, typer.Option(help="And those that are not.")] = 4
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes that are searched, too.")] = None


def look_rows(searches: Iterable[dict[str, Any]]) -> list[list[float]]:
    """Rows in the order of `COLUMNS`; what is neither right nor wrong is left out."""
    found: list[list[float]] = []
    for search in searches:
        for one in search["looked"]:
            is_right = one["iou"] > RIGHT_IOU and bool(one.get("side", 1))
            if is_right or one["iou"] < WRONG_IOU:
                known = [search["scene"], int(search.get("real", False)), int(is_right)]
                found.append([*known, round(logit_of(one["first_probability"]), 2), round(one["detail"], 2)])
    return found


def told(rows: Float64, columns: slice) -> dict[str, float]:
    """How many looks are told right by weights that were fitted without their scene, of either kind [share]."""
    scene, is_right, features = rows[:, 0], rows[:, 2] > 0.0, rows[:, columns]
    said = np.zeros(len(rows))
    _, number = np.unique(scene, return_inverse=True)
    for part in range(min(FOLDS, int(number.max()) + 1)):
        inside = number % FOLDS == part
        weights, constant = fit(features[~inside], is_right[~inside], RIDGE)
        said[inside] = features[inside] @ weights + constant
    shares = {}
    for kind, of_kind in (("made up", rows[:, 1] == 0.0), ("real", rows[:, 1] > 0.0)):
        for name, which, good in (("right", is_right, said > 0.0), ("wrong", ~is_right, said <= 0.0)):
            chosen = which & of_kind
            shares[f"{kind} {name}"] = round(float(good[chosen].mean()), 4) if chosen.any() else 0.0
    return shares


@case(record="fit_closer_look")
def fit_closer_look(options: CloserLookOptions) -> Outcome:
    """Search, fit, cross-validate and print."""
    config = DetectConfig()
    config = replace(config, closer=replace(config.closer, least=LEAST, below=1.0 - LEAST))
    searches = search_all(options, config)
    if options.real is not None:
        searches += poses_of_recordings(options.real, options.bundle, EVERY, config)
    rows = np.array(look_rows(searches), dtype=np.float64).reshape(-1, len(COLUMNS))
    is_right = rows[:, 2] > 0.0
    for kind, which in (("right", is_right), ("wrong", ~is_right)):
        if len(np.unique(rows[which, 0])) < 2:  # one may be left out
            got = f"{int(which.sum())} looks at {kind} places"
            raise InputError(mismatch("--scenes", got, "some in two images or more", "search more images"))
    weights, constant = fit(rows[:, 3:], is_right, RIDGE)
    margin = logit_of(DetectConfig().min_probability)
    figures: dict[str, Any] = {
        "looks": {"right": int(is_right.sum()), "wrong": int((~is_right).sum()), "real": int(rows[:, 1].sum())},
        "weights": {"first": round(float(weights[0]), 2), "detail": round(float(weights[1]), 2)},
        "constant": round(constant + margin, 2),
        "told": told(rows, slice(3, 5)),
        "told_by_first_alone": told(rows, slice(3, 4)),
    }
    for name, value in figures.items():
        print(f"{name:<20} {value}")
    lines = [" ".join(f"{value:g}" for value in row) for row in rows.tolist()]
    packed = ["; ".join(lines[start : start + _PER_LINE]) for start in range(0, len(lines), _PER_LINE)]
    return Outcome(summary=figures | {"columns": " ".join(COLUMNS), "rows": packed})
