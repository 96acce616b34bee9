"""Seeds to objects: shape, paint, size and the symmetries that are left.

Training and evaluation never share an object: seeds below `splits.EVALUATION_FROM` are for training, the
others for evaluation, and `make_object` is told which side it is on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh, make_mesh, vertex_normals
from storm_edge.geometry.symmetry import ContinuousSymmetry, symmetry_transforms
from storm_edge.synthetic.shapes import REVOLVED, make_shape
from storm_edge.synthetic.splits import EVALUATION_FROM
from storm_edge.synthetic.textures import PLAIN, paint

DIAMETER_M = (0.06, 0.35)
"""Range of object diameters [m], drawn log-uniformly."""
_FACE_COUNT = (2000, 6000)


@dataclass(frozen=True, kw_only=True)
class SyntheticObject:
    """A made-up object, its AABB centre in the origin."""

    seed: int
    """What it was made from."""
    mesh: Mesh
    """Surface with vertex colours [m]."""
    diameter_m: float
    """Largest distance between two vertices [m]."""
    axes: tuple[ContinuousSymmetry, ...]
    """Axes it may be turned about without a visible change."""
    symmetries: NDArray[np.float64]
    """The same as motions ``(S, 4, 4)``, identity first."""
    pose_is_unique: bool
    """False where other poses may look the same beyond ``symmetries`` (plain paint on a regular shape)."""
    family: str
    """Shape family."""
    paint: str
    """Kind of paint."""


def make_object(
    seed: int,
    *,
    evaluation: bool = False,
    family: str | None = None,
    paint_kind: str | None = None,
    diameter_m: float | None = None,
    face_count: int | None = None,
) -> SyntheticObject:
    """The object of a seed, always the same one.

    Args:
        seed: ``0 <= seed < EVALUATION_FROM`` for training, from there on for evaluation.
        evaluation: Whether the caller evaluates.
        family: Fix the shape family.
        paint_kind: Fix the kind of paint.
        diameter_m: Fix the diameter [m].
        face_count: Fix the wanted number of triangles.

    Raises:
        ValueError: The seed belongs to the other side.
    """
    if seed < 0 or (seed >= EVALUATION_FROM) != evaluation:
        side = f"at least {EVALUATION_FROM}" if evaluation else f"in 0..{EVALUATION_FROM - 1}"
        raise ValueError(f"object seed {seed} must be {side}: training and evaluation share no object")
    rng = np.random.default_rng(seed)
    drawn_diameter_m = float(np.exp(rng.uniform(*np.log(DIAMETER_M))))
    drawn_face_count = int(rng.integers(*_FACE_COUNT))
    size_m = diameter_m or drawn_diameter_m
    (vertices, faces), family, deformed = make_shape(
        rng, face_count=face_count or drawn_face_count, diameter_m=size_m, family=family
    )
    normals = vertex_normals(vertices.astype(np.float32), faces.astype(np.int32))
    colours, kind = paint(rng, vertices, normals, kind=paint_kind)
    turns = kind == PLAIN and family in REVOLVED and not deformed
    axes = (ContinuousSymmetry(axis=(0.0, 0.0, 1.0)),) if turns else ()
    return SyntheticObject(
        seed=seed,
        mesh=make_mesh(vertices, faces, colours=colours, normals=normals),
        diameter_m=size_m,
        axes=axes,
        symmetries=symmetry_transforms(continuous=axes),
        pose_is_unique=kind != PLAIN,
        family=family,
        paint=kind,
    )
