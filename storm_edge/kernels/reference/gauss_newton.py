"""The Gauss-Newton step in NumPy, see `storm_edge.kernels.gauss_newton`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import exp_so3, make_T

Float64 = NDArray[np.float64]


def sum_rows(rows: ArrayLike) -> Float64:
    """``[J r valid]^T [J r valid]`` of rows ``(N, P, 8)``; shape ``(N, 8, 8)``."""
    rows = np.asarray(rows, dtype=np.float64)
    return np.asarray(np.swapaxes(rows, -1, -2) @ rows)


def take_step(T: ArrayLike, sums: ArrayLike, *, tikhonov_rotation: float, tikhonov_translation: float) -> Float64:
    """Poses ``(N, 4, 4)`` after one step from poses ``(N, 4, 4)`` and sums ``(N, 8, 8)``."""
    T, sums = np.asarray(T, dtype=np.float64), np.asarray(sums, dtype=np.float64)
    ridge = np.diag([tikhonov_rotation] * 3 + [tikhonov_translation] * 3)
    x = np.linalg.solve(sums[:, :6, :6] + ridge, -sums[:, :6, 6, None])[..., 0]
    return make_T(exp_so3(x[:, :3]) @ T[:, :3, :3], T[:, :3, 3] + x[:, 3:])


def closest_view(T: ArrayLike, directions: ArrayLike) -> int:
    """Index of the viewing direction ``(V, 3)`` nearest to that of the pose ``(4, 4)``."""
    T = np.asarray(T, dtype=np.float64)
    return int(np.argmax(np.asarray(directions, dtype=np.float64) @ (-T[:3, :3].T @ T[:3, 3])))
