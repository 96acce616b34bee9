"""What a closer look at a doubtful place is worth: a logistic regression on looks at right and at wrong places.

    python -m benchmarks run fit_closer_look [--scenes 200] [--first 6000] [--real DATA] [--bundle nano] [--jobs 2]
    python -m benchmarks run fit_closer_look --recorded

Searches of development images, and with ``--real`` of development recordings, look closer wherever they are not quite
certain (`pipeline.detect.closer_look`). Each look is right or wrong as in `fit_presence`; one in a recording counts
`REAL_WEIGHT` times. Of two looks at the right place only the more probable one counts: to the other the object is
elsewhere. Printed are the weights, with ScoreNet and without it, and how many looks are told by weights that had not
seen their image or recording: by all, without ScoreNet, by the first probability and small print, and by the first
probability alone. The constant is the fit's and the logit of `DetectConfig.min_probability`, so that even odds reach
that. The code is not changed.

The record holds the looks; ``--recorded`` fits to them, with no search.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.cases.first_look import poses_of_recordings
from benchmarks.cases.fit_presence import FOLDS, REAL_WEIGHT, RIDGE, fit
from benchmarks.cases.search import SearchOptions, search_all
from benchmarks.presence_poses import RIGHT_IOU, WRONG_IOU
from benchmarks.record import RECORDS
from benchmarks.registry import Outcome, case
from storm_edge.errors import InputError, mismatch
from storm_edge.pipeline.detect.candidate_scoring import logit_of
from storm_edge.pipeline.detect.closer_look import regressors
from storm_edge.pipeline.detect.config import CloserLookConfig, DetectConfig
from storm_edge.pipeline.detect.detection import Look

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RECORD = "fit_closer_look"
LEAST = 0.02
"""Places with a presence probability from this to one minus this are looked at: more than a search doubts."""
EVERY = 6
"""Frames of a recording between those that are searched."""
_PER_LINE = 12
KNOWN = ("scene", "is_real", "is_right")
WEIGHTS = ("first", "detail", "depth", "elsewhere", "palette", "contour", "network")
"""Of `CloserLookWeights`."""
PLAIN = len(WEIGHTS) - 1
"""So many of them need no network."""
COLUMNS = KNOWN + WEIGHTS


@dataclass(frozen=True, kw_only=True)
class CloserLookOptions(SearchOptions):
    """Which looks the weights are fitted to."""

    scenes: Annotated[int, typer.Option(help="How many images are searched.")] = 200
    first: Annotated[int, typer.Option(help="Number of the first image.")] = 6000
    there: Annotated[int, typer.Option(help="Objects looked for in each that are there.")] = 4
    absent: Annotated[int, typer.Option(help="And those that are not.")] = 3
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes that are searched, too.")] = None
    recorded: Annotated[bool, typer.Option("--recorded", help="Fit to the recorded looks; no search.")] = False


def look_rows(searches: Iterable[dict[str, Any]]) -> list[list[float]]:
    """Rows in the order of `COLUMNS`; what is neither right nor wrong is left out."""
    found: list[list[float]] = []
    for search in searches:
        for one in search["looked"]:
            is_right = one["iou"] > RIGHT_IOU and bool(one.get("side", 1))
            if is_right or one["iou"] < WRONG_IOU:
                known = [search["scene"], int(search.get("real", False)), int(is_right)]
                look = Look(**{field.name: one[field.name] for field in fields(Look)})
                values = regressors(look, CloserLookConfig())
                found.append([*known, *(round(values[name], 3) for name in WEIGHTS)])
    return found


def recorded_rows() -> Float64:
    """Rows of the record ``(N, len(COLUMNS))``."""
    results = json.loads((RECORDS / f"{RECORD}.json").read_text(encoding="utf-8"))["results"]
    return np.array([[float(value) for value in row.split()] for line in results["rows"] for row in line.split("; ")])


def without_second(rows: Float64) -> Float64:
    """The rows without looks at the right place beside a more probable one, to which the object is elsewhere."""
    right, first, elsewhere = (rows[:, COLUMNS.index(name)] for name in ("is_right", "first", "elsewhere"))
    return np.asarray(rows[(right == 0.0) | (elsewhere <= first)])


def fitted(rows: Float64, count: int = len(WEIGHTS)) -> tuple[Float64, float]:
    """The first ``count`` weights, and the constant."""
    among = np.where(rows[:, 1] > 0.0, REAL_WEIGHT, 1.0)
    return fit(rows[:, len(KNOWN) :][:, :count], rows[:, 2] > 0.0, RIDGE, among)


def told(rows: Float64, count: int = len(WEIGHTS)) -> dict[str, float]:
    """How many looks are told right by ``count`` weights that were fitted without their scene, of either kind
    [share]."""
    scene, is_right, features = rows[:, 0], rows[:, 2] > 0.0, rows[:, len(KNOWN) :][:, :count]
    said = np.zeros(len(rows))
    _, number = np.unique(scene, return_inverse=True)
    for part in range(min(FOLDS, int(number.max()) + 1)):
        inside = number % FOLDS == part
        weights, constant = fitted(rows[~inside], count)
        said[inside] = features[inside] @ weights + constant
    shares = {}
    for kind, of_kind in (("made up", rows[:, 1] == 0.0), ("real", rows[:, 1] > 0.0)):
        for name, which, good in (("right", is_right, said > 0.0), ("wrong", ~is_right, said <= 0.0)):
            chosen = which & of_kind
            shares[f"{kind} {name}"] = round(float(good[chosen].mean()), 4) if chosen.any() else 0.0
    return shares


def _searched_rows(options: CloserLookOptions) -> Float64:
    """Rows of the searches that the options ask for."""
    config = DetectConfig()
    config = replace(config, closer=replace(config.closer, least=LEAST, below=1.0 - LEAST))
    searches = search_all(options, config)
    if options.real is not None:
        searches += poses_of_recordings(options.real, options.bundle, EVERY, config)
    return np.array(look_rows(searches), dtype=np.float64).reshape(-1, len(COLUMNS))


@case(record=RECORD)
def fit_closer_look(options: CloserLookOptions) -> Outcome:
    """Search, fit, cross-validate and print."""
    rows = without_second(recorded_rows() if options.recorded else _searched_rows(options))
    is_right = rows[:, 2] > 0.0
    for kind, which in (("right", is_right), ("wrong", ~is_right)):
        if len(np.unique(rows[which, 0])) < 2:  # one may be left out
            got = f"{int(which.sum())} looks at {kind} places"
            raise InputError(mismatch("--scenes", got, "some in two images or more", "search more images"))
    (weights, constant), (plain, plain_constant) = fitted(rows), fitted(rows, PLAIN)
    margin = logit_of(DetectConfig().min_probability)
    figures: dict[str, Any] = {
        "source": RECORD if options.recorded else options.bundle,
        "looks": {"right": int(is_right.sum()), "wrong": int((~is_right).sum()), "real": int(rows[:, 1].sum())},
        "weights": {name: round(float(weight), 2) for name, weight in zip(WEIGHTS, weights, strict=True)},
        "constant": round(constant + margin, 2),
        "without_network": {name: round(float(w), 2) for name, w in zip(WEIGHTS, plain, strict=False)},
        "constant_without_network": round(plain_constant + margin, 2),
        "told": told(rows),
        "told_without_network": told(rows, PLAIN),
        "told_by_first_and_detail": told(rows, 2),
        "told_by_first_alone": told(rows, 1),
    }
    for name, value in figures.items():
        print(f"{name:<20} {value}")
    lines = [" ".join(f"{value:g}" for value in row) for row in rows.tolist()]
    packed = ["; ".join(lines[start : start + _PER_LINE]) for start in range(0, len(lines), _PER_LINE)]
    return Outcome(summary=figures | {"columns": " ".join(COLUMNS), "rows": packed})
