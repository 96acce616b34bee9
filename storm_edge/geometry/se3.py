"""Rigid motions as 4x4 matrices: build, check, invert, apply, and the maps to and from axis-angle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.errors import InputError, UnitError, mismatch

Float64 = NDArray[np.float64]

FARTHEST_M = 100.0
"""A pose farther away than this is in another unit than metres: no depth camera reaches that far."""

_SMALL_ANGLE = 1e-6  # below this the Taylor series of sin(a)/a is exact in float64


def make_T(R: ArrayLike, t: ArrayLike) -> Float64:
    """Assemble ``T`` from rotations ``(..., 3, 3)`` and translations [m] ``(..., 3)``; shape ``(..., 4, 4)``."""
    R = np.asarray(R, dtype=np.float64)
    t = np.asarray(t, dtype=np.float64)
    T = np.zeros(np.broadcast_shapes(R.shape[:-2], t.shape[:-1]) + (4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1.0
    return T


def invert(T: ArrayLike) -> Float64:
    """Inverse of rigid motions, shape ``(..., 4, 4)``; exact transpose instead of a general solve."""
    T = np.asarray(T, dtype=np.float64)
    Rt = np.swapaxes(T[..., :3, :3], -1, -2)
    return make_T(Rt, -(Rt @ T[..., :3, 3:])[..., 0])


def transform(T: ArrayLike, points: ArrayLike) -> Float64:
    """Apply ``T (..., 4, 4)`` to ``points (N, 3)`` [m]; shape ``(..., N, 3)``."""
    T = np.asarray(T, dtype=np.float64)
    points = np.asarray(points, dtype=np.float64)
    return np.asarray(points @ np.swapaxes(T[..., :3, :3], -1, -2) + T[..., None, :3, 3])


def hat(w: ArrayLike) -> Float64:
    """Cross-product matrices of vectors ``(..., 3)``; shape ``(..., 3, 3)``, ``hat(a) @ b == cross(a, b)``."""
    w = np.asarray(w, dtype=np.float64)
    W = np.zeros(w.shape[:-1] + (3, 3))
    W[..., 0, 1], W[..., 0, 2], W[..., 1, 2] = -w[..., 2], w[..., 1], -w[..., 0]
    W[..., 1, 0], W[..., 2, 0], W[..., 2, 1] = w[..., 2], -w[..., 1], w[..., 0]
    return W


def exp_so3(w: ArrayLike) -> Float64:
    """Rodrigues: axis-angle vectors [rad] ``(..., 3)`` to rotations ``(..., 3, 3)``."""
    w = np.asarray(w, dtype=np.float64)
    angle = np.linalg.norm(w, axis=-1)[..., None, None]
    small = angle < _SMALL_ANGLE
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0 - angle**2 / 6.0, np.sin(safe) / safe)
    b = np.where(small, 0.5 - angle**2 / 24.0, (1.0 - np.cos(safe)) / safe**2)
    W = hat(w)
    return np.asarray(np.eye(3) + a * W + b * (W @ W))


def log_so3(R: ArrayLike) -> Float64:
    """Axis-angle vector [rad] of one rotation ``(3, 3)``; angle in ``[0, pi]``, stable at both ends."""
    R = np.asarray(R, dtype=np.float64)
    v = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    sin_a, cos_a = float(np.linalg.norm(v)), 0.5 * (float(np.trace(R)) - 1.0)
    angle = float(np.arctan2(sin_a, cos_a))
    if sin_a > 1e-7:
        return v * (angle / sin_a)
    if cos_a > 0.0:
        return v
    # Half a turn: the antisymmetric part vanishes and the axis is the eigenvector of R for eigenvalue 1.
    S = 0.5 * (R + np.eye(3))
    column = S[:, int(np.argmax(np.diag(S)))]
    return np.asarray(column / np.linalg.norm(column) * angle)


def rotation_angle(R_a: ArrayLike, R_b: ArrayLike) -> Float64:
    """Angle [rad] between rotations ``(..., 3, 3)``; accurate for tiny angles (uses the chord, not arccos)."""
    difference = np.asarray(R_a, dtype=np.float64) - np.asarray(R_b, dtype=np.float64)
    chord = np.sqrt((difference * difference).sum(axis=(-2, -1)) / 8.0)
    return np.asarray(2.0 * np.arcsin(np.minimum(chord, 1.0)))


def random_rotation(rng: np.random.Generator) -> Float64:
    """One rotation ``(3, 3)``, uniform on SO(3) (unit quaternion from four normals)."""
    x, y, z, w = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def is_rigid(T: ArrayLike, *, tolerance: float = 1e-3) -> bool:
    """Whether ``T (4, 4)`` is finite, proper and orthonormal to ``tolerance``."""
    T = np.asarray(T, dtype=np.float64)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        return False
    R = T[:3, :3]
    if np.abs(R).max() > 2.0:  # no rotation, and its square may be too large
        return False
    return bool(
        np.abs(R @ R.T - np.eye(3)).max() < tolerance
        and np.linalg.det(R) > 0.0
        and np.abs(T[3] - [0.0, 0.0, 0.0, 1.0]).max() < tolerance
    )


def check_pose(T: ArrayLike, *, what: str = "T_cam_obj") -> Float64:
    """Return a pose as float64 ``(4, 4)`` or say why it is none.

    Args:
        T: Rigid motion, its translation in metres.
        what: Begins the message.

    Raises:
        InputError: Wrong shape, not finite, or not rigid.
        UnitError: The translation cannot be in metres.
    """
    matrix = np.asarray(T, dtype=np.float64)
    if matrix.shape != (4, 4):
        remedy = "give rotation and translation as one matrix, see geometry.se3.make_T"
        raise InputError(mismatch(what, f"shape {matrix.shape}", "(4, 4)", remedy))
    if not np.isfinite(matrix).all():
        raise InputError(mismatch(what, "NaN or infinite entries", "finite numbers", "check where the pose is from"))
    if not is_rigid(matrix, tolerance=1e-2):  # label files hold rotations with few digits
        remedy = "check that rows are not swapped and that the model is not scaled or mirrored"
        raise InputError(mismatch(what, "no rigid motion", "a rotation, a translation and 0 0 0 1", remedy))
    distance_m = float(np.linalg.norm(matrix[:3, 3]))
    if distance_m > FARTHEST_M:
        remedy = "give the translation in metres: divide millimetres by 1000"
        raise UnitError(mismatch(what, f"a translation of {distance_m:.4g}", f"at most {FARTHEST_M:g} m", remedy))
    return matrix
