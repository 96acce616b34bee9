"""Symmetries of an object as rigid motions, and the choice among poses that cannot be told apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ContinuousSymmetry:
    """Rotation by any angle about an axis (BOP ``symmetries_continuous``)."""

    axis: tuple[float, float, float]
    """Direction in the object frame, any length but zero."""
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """A point on the axis [m]."""


def symmetry_transforms(
    discrete: Sequence[ArrayLike] = (),
    continuous: Sequence[ContinuousSymmetry] = (),
    *,
    step_deg: float = 5.0,
) -> Float64:
    """All symmetry motions ``(S, 4, 4)``, identity first: discrete ones times sampled continuous ones.

    Args:
        discrete: Motions ``(4, 4)`` [m] that map the object onto itself; the identity may be left out.
        continuous: Axes of revolution.
        step_deg: Sampling of a full turn about each axis [deg].
    """
    turns: list[list[Float64]] = []
    for symmetry in continuous:
        axis = np.asarray(symmetry.axis, dtype=np.float64)
        axis = axis / np.linalg.norm(axis)
        offset = np.asarray(symmetry.offset_m, dtype=np.float64)
        angles = np.deg2rad(np.arange(0.0, 360.0, step_deg))
        R = exp_so3(angles[:, None] * axis)
        turns.append(list(make_T(R, offset - R @ offset)))
    motions = [np.eye(4), *(np.asarray(T, dtype=np.float64) for T in discrete)]
    found: list[Float64] = []
    for combination in itertools.product(motions, *turns):
        T = np.linalg.multi_dot([np.eye(4), *combination]) if len(combination) > 1 else combination[0]
        known = any(np.allclose(T, other, atol=1e-6) for other in found)
        if not known:
            found.append(T)
    return np.stack(found)


def nearest_symmetric(T_cam_obj: Float64, T_reference: Float64, symmetries: Float64) -> Float64:
    """Among the equal-looking poses ``T_cam_obj @ S`` the one turned least from ``T_reference``, ``(4, 4)``.

    Keeps a symmetric object from flipping between frames.
    """
    if len(symmetries) == 1:
        return T_cam_obj
    candidates = T_cam_obj @ symmetries
    angles = rotation_angle(candidates[:, :3, :3], T_reference[:3, :3])
    return np.asarray(candidates[int(np.argmin(angles))])
