"""From placements of templates to places: where the object may be, and the poses to start from there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import make_T
from storm_edge.pipeline.templates.config import PlaceConfig
from storm_edge.pipeline.templates.matching import Placements
from storm_edge.pipeline.templates.views import ShapeTemplates

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ShapePlace:
    """A place where the object may be by its shape."""

    score: float
    """Of its best placement, at most 1."""
    starts: Float64
    """Poses of the centred mesh [m], best first, ``(N, 4, 4)``."""


def places_of(
    placements: Placements, templates: ShapeTemplates, diameter_m: float, config: PlaceConfig
) -> list[ShapePlace]:
    """Places, best first; each with poses that differ.

    Args:
        placements: Best first.
        templates: What was placed.
        diameter_m: Of the object [m].
        config: What is one place, and one pose.
    """
    good = placements.score >= config.min_score
    centre, view = placements.centre[good].astype(np.float64), placements.view[good]
    score = placements.score[good]
    left = np.arange(len(view))
    places: list[ShapePlace] = []
    while len(left) and len(places) < config.max_places:
        near = np.linalg.norm(centre[left] - centre[left[0]], axis=1) < config.apart_diameters * diameter_m
        chosen = _distinct(left[near], templates.rotations[view], centre, diameter_m, config)
        starts = make_T(templates.rotations[view[chosen]], centre[chosen])
        places.append(ShapePlace(score=float(score[left[0]]), starts=starts))
        left = left[~near]
    return places


def in_turns(first: Sequence[ShapePlace], second: Sequence[ShapePlace], apart_m: float) -> list[ShapePlace]:
    """Places of two lists, best first each: two of the first, one of the second, and so on.

    What is nearer than ``apart_m`` to one before is left out.
    """
    merged: list[ShapePlace] = []
    for place in itertools.chain.from_iterable(itertools.zip_longest(first[::2], first[1::2], second)):
        if place is not None and all(_gap_m(place, other) >= apart_m for other in merged):
            merged.append(place)
    return merged


def _gap_m(place: ShapePlace, other: ShapePlace) -> float:
    return float(np.linalg.norm(place.starts[0, :3, 3] - other.starts[0, :3, 3]))


def _distinct(
    order: NDArray[np.int64], rotations: Float64, centre: Float64, diameter_m: float, config: PlaceConfig
) -> NDArray[np.int64]:
    """The first few of a place's placements, without those that nearly repeat another."""
    chosen: list[int] = []
    least_trace = 1.0 + 2.0 * np.cos(np.deg2rad(config.least_turn_deg))
    for index in order:
        if len(chosen) == config.poses_per_place:
            break
        turned = np.einsum("nij,ij->n", rotations[chosen], rotations[index]) < least_trace
        shifted = np.linalg.norm(centre[chosen] - centre[index], axis=1) > config.least_shift_diameters * diameter_m
        if (turned | shifted).all():
            chosen.append(int(index))
    return np.array(chosen, dtype=np.int64)
