"""Where a coarse map shows the object, and at which probability it ends: marks, by the overlap that they promise.

A small network often knows where the object is and not how sure to be: a white thing that fills the image has a tenth
everywhere on it and a hundredth beside it. So spheres of the object's size are put where the probability is, at
several thresholds (mean shift), and what lies in one above each of several is a mark. How much of the object it is
likely to overlap is told by a few sums over its cells; the best mark of each sphere stays. Candidates are made of
marks at image size by `pipeline.segment.proposals`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.segment.cells import Cells
from storm_edge.pipeline.segment.config import MarkConfig, MarkWeights
from storm_edge.pipeline.segment.sigmoid import sigmoid

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FEATURES = tuple(field.name for field in fields(MarkWeights) if field.name != "constant")
"""What `MarkWeights` weighs, in this order."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Cells within a sphere of the object's size, above a threshold."""

    centre_m: Float64
    """Of the sphere, in the camera frame [m] ``(3,)``."""
    threshold: float
    """Probability above which a cell belongs to it."""
    cells: NDArray[np.int64]
    """Which they are."""
    features: Float64
    """What tells its overlap, in the order of `FEATURES` ``(F,)``."""
    overlap: float
    """Intersection over union with the object that is to be expected, 0..1; 0 for an object that is not there."""


def best_marks(cells: Cells, own_bits: float, radius_m: float, config: MarkConfig) -> list[Mark]:
    """The best mark of each sphere, best first, without those that repeat a better one.

    Args:
        cells: The map.
        own_bits: Mean log2 density of the object's own colours, `ColourModel.own_bits`.
        radius_m: Of the sphere that the object fits in [m].
        config: Thresholds, counts and weights.
    """
    spheres = (marks_around(cells, own_bits, centre, radius_m, config) for centre in centres(cells, radius_m, config))
    chosen = (_chosen(marks, config.near_best) for marks in spheres if marks)
    ordered = sorted(chosen, key=lambda mark: mark.overlap, reverse=True)
    kept: list[Mark] = []
    best = ordered[0].overlap if ordered else 0.0
    least = max(config.min_overlap, config.least_of_best * best)
    for mark in ordered:
        if mark.overlap >= least and all(_repeated(mark, other) <= config.max_repeated for other in kept):
            kept.append(mark)
    return kept


def centres(cells: Cells, radius_m: float, config: MarkConfig) -> Iterator[Float64]:
    """Centres [m] ``(3,)`` of spheres where the probability is, most first; by each threshold those that are new."""
    found: list[Float64] = []
    for threshold in config.seed_thresholds:
        over = np.flatnonzero((cells.probability > threshold) & cells.is_read)
        over = over[:: max(1, len(over) // config.max_points)]
        points, mass = cells.points_m[over], cells.surface[over]
        for _ in range(config.seeds_per_threshold):
            if len(points) < config.min_seed_cells or len(found) == config.max_seeds:
                break
            centre = _shifted(_densest_start(points, mass, radius_m, config), points, mass, radius_m, config)
            outside = ((points - centre) ** 2).sum(axis=1) >= radius_m**2
            if outside.all():
                break
            points, mass = points[outside], mass[outside]
            if all(np.linalg.norm(centre - other) > config.apart_radii * radius_m for other in found):
                found.append(centre)
                yield centre


def marks_around(cells: Cells, own_bits: float, centre_m: Float64, radius_m: float, config: MarkConfig) -> list[Mark]:
    """The marks in a sphere around a point [m] ``(3,)``, one per threshold that adds a cell.

    Args:
        cells: The map.
        own_bits: As in `best_marks`.
        centre_m: The sphere's centre.
        radius_m: Its radius [m].
        config: Thresholds and weights.
    """
    inside = cells.within(centre_m, radius_m)
    if not len(inside):
        return []
    thresholds = np.array(config.thresholds)
    below = (cells.probability[inside, None] <= thresholds).sum(axis=1)  # thresholds that a cell stays below

    def sums(values: NDArray[np.floating] | None = None) -> Float64:
        """Sums over the cells above each threshold, and over all ``(T + 1,)``."""
        return np.cumsum(np.bincount(below, weights=values, minlength=len(thresholds) + 1).astype(np.float64))

    logit = _logit(cells.probability[inside], config.min_probability)
    count, surface = sums(), sums(cells.surface[inside])
    per_cell = 1.0 / np.maximum(count, 1.0)
    # Squared, for a small object has little of all that a map says with a probability of a hundredth.
    sure = cells.surface * cells.probability
    whole = max(float(sure.sum()), 1e-9)
    features = {
        "inside": sums(logit) * per_cell,
        "caught": surface / max(float(surface[-1]), 1e-9),
        "share": np.log(sums(sure[inside]) / whole + config.least_share),
        "colour": sums(cells.colour_bits[inside]) * per_cell - own_bits,
        "chroma": sums(cells.chroma_bits[inside]) * per_cell,
        "peak": np.full(len(count), logit.max()),
    }
    table = np.stack([features[name] for name in FEATURES], axis=1)
    overlap = sigmoid(table @ np.array([getattr(config.weights, n) for n in FEATURES]) + config.weights.constant)
    read = sums(cells.is_read[inside].astype(np.float64))
    new = np.diff(count[:-1], prepend=0.0) > 0.0
    return [
        Mark(
            centre_m=centre_m,
            threshold=float(thresholds[k]),
            cells=inside[below <= k],
            features=table[k],
            overlap=float(overlap[k]),
        )
        for k in np.flatnonzero(new & (count[:-1] >= config.min_cells) & (read[:-1] > 0.0))
    ]


def _chosen(marks: list[Mark], near_best: float) -> Mark:
    """Of the marks of a sphere that promise nearly as much as the best, the one of the highest threshold."""
    least = near_best * max(mark.overlap for mark in marks)
    return max((mark for mark in marks if mark.overlap >= least), key=lambda mark: mark.threshold)


def _repeated(mark: Mark, other: Mark) -> float:
    """Share of a mark's cells that are another's, too."""
    return len(np.intersect1d(mark.cells, other.cells, assume_unique=True)) / len(mark.cells)


def _logit(probability: Float32, least: float) -> Float32:
    limited = np.clip(probability, np.float32(least), np.float32(1.0 - least))
    return np.asarray(np.log(limited / (1.0 - limited)))


def _densest_start(points: Float32, mass: Float32, radius_m: float, config: MarkConfig) -> Float64:
    """The one of a few points ``(N, 3)`` with the most mass ``(N,)`` around it."""
    few = points[:: max(1, len(points) // config.max_start_points)]
    near = ((points[None] - few[:, None]) ** 2).sum(axis=2) < radius_m**2
    return np.asarray(few[int((near @ mass).argmax())], dtype=np.float64)


def _shifted(centre: Float64, points: Float32, mass: Float32, radius_m: float, config: MarkConfig) -> Float64:
    """The centre after steps of mean shift with a flat kernel."""
    for _ in range(config.mean_shift_iterations):
        near = ((points - centre) ** 2).sum(axis=1) < radius_m**2
        if not near.any():
            break
        centre = np.average(points[near], axis=0, weights=mass[near])
    return centre
