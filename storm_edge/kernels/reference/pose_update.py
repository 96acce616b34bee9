"""The pose update in NumPy and its inverse, see `storm_edge.kernels.pose_update`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import exp_so3, log_so3, make_T
from storm_edge.kernels.pose_update import ROT_NORMALIZER_RAD

Float64 = NDArray[np.float64]


def update_poses(T: ArrayLike, trans: ArrayLike, rot: ArrayLike, *, diameter_m: float) -> Float64:
    """Updated poses ``(N, 4, 4)`` from poses and RefineNet's ``trans (N, 3)`` and ``rot (N, 3)``."""
    T = np.asarray(T, dtype=np.float64)
    turn = exp_so3(np.tanh(np.asarray(rot, dtype=np.float64)) * ROT_NORMALIZER_RAD)
    R = np.swapaxes(turn, -1, -2) @ T[..., :3, :3]
    return make_T(R, T[..., :3, 3] + np.asarray(trans, dtype=np.float64) * (diameter_m / 2.0))


def update_target(T_old: ArrayLike, T_new: ArrayLike, *, diameter_m: float) -> tuple[Float64, Float64]:
    """What RefineNet should answer at ``T_old (4, 4)`` so that the update gives ``T_new (4, 4)``.

    Returns:
        ``trans (3,)`` in half diameters and the wanted ``tanh(rot) (3,)``, which one step only reaches when every
        component lies within (-1, 1).
    """
    T_old, T_new = np.asarray(T_old, dtype=np.float64), np.asarray(T_new, dtype=np.float64)
    trans = (T_new[:3, 3] - T_old[:3, 3]) / (diameter_m / 2.0)
    # R_new = Exp(w)^T R_old, hence Exp(w) = R_old R_new^T.
    return trans, log_so3(T_old[:3, :3] @ T_new[:3, :3].T) / ROT_NORMALIZER_RAD
