"""Objects for the pool: those of `synthetic.objects`, and what real scenes have and painted families rarely do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.splits import EVALUATION_FROM

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PoolObject:
    """One object before it goes to the device."""

    mesh: Mesh
    """Surface with vertex colours [m], its AABB centre in the origin."""
    diameter_m: float
    """Largest distance between two vertices [m]."""
    turns: Float64
    """Rotations about `centre_m` that leave it as it is, identity first, ``(S, 3, 3)``."""
    axis: Float64
    """Axis that it may be turned about by any angle ``(3,)``, 0 for none."""
    centre_m: Float64
    """Where the turns and the axis go through ``(3,)`` [m]."""
    gloss: tuple[float, float]
    """Strength and exponent of its highlights."""


def draw_object(rng: np.random.Generator, seeds: range, face_count: tuple[int, int]) -> PoolObject:
    """An object of some seed of ``seeds``."""
    seed = int(rng.integers(seeds.start, seeds.stop))
    truth = make_object(seed, evaluation=seed >= EVALUATION_FROM, face_count=int(rng.integers(*face_count)))
    axis = np.zeros(3)
    if truth.axes:
        axis = np.asarray(truth.axes[0].axis, dtype=np.float64)
    gloss = (0.0, 10.0)
    if rng.random() < 0.4:
        gloss = (float(rng.uniform(0.1, 0.7)), float(np.exp(rng.uniform(np.log(5.0), np.log(60.0)))))
    return PoolObject(
        mesh=truth.mesh,
        diameter_m=truth.diameter_m,
        turns=np.eye(3)[None],
        axis=axis,
        centre_m=np.zeros(3),
        gloss=gloss,
    )
