"""Poses to start a refinement from: the last motion continued, and poses turned about the object's axes.

In plain numbers where a single matrix is concerned, since NumPy takes many times longer there.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import exp_so3, log_so3, make_T

Float64 = NDArray[np.float64]

MOTION_START_COUNT = 3  # fixed: the last pose, half of the last motion, and all of it
TURN_COUNT = 6  # fixed: both ways about three axes


def turned(T_cam_centre: Float64, angle_deg: float) -> Float64:
    """The pose turned both ways about each axis of the object, ``(TURN_COUNT, 4, 4)``."""
    return T_cam_centre @ _turns(angle_deg)


@functools.cache
def _turns(angle_deg: float) -> Float64:
    """Turns both ways about each axis, ``(TURN_COUNT, 4, 4)``."""
    w = np.deg2rad(angle_deg) * np.concatenate([np.eye(3), -np.eye(3)])
    turns = make_T(exp_so3(w), np.zeros(3))
    turns.flags.writeable = False
    return turns


_SHARES = np.array([[0.5], [1.0]])


def motion_starts(T_last: Float64, T_before: Float64) -> Float64:
    """Where the object may be next: the last pose, and half and all of the last motion further,
    ``(MOTION_START_COUNT, 4, 4)``."""
    R, t = T_last[:3, :3], T_last[:3, 3]
    x, y, z = _rotation_vector(R @ T_before[:3, :3].T)
    shift = t - T_before[:3, 3]
    starts = np.empty((MOTION_START_COUNT, 4, 4))
    starts[:] = T_last
    starts[1:, :3, :3] = np.array([_turn(0.5 * x, 0.5 * y, 0.5 * z), _turn(x, y, z)]) @ R
    starts[1:, :3, 3] += _SHARES * shift
    return starts


def continued(T_last: Float64, T_before: Float64) -> Float64:
    """The last motion once more: turn about the object's centre, and shift; the last of `motion_starts`."""
    R = T_last[:3, :3] @ T_before[:3, :3].T @ T_last[:3, :3]
    return make_T(R, 2.0 * T_last[:3, 3] - T_before[:3, 3])


def _rotation_vector(R: Float64) -> tuple[float, float, float]:
    """`se3.log_so3` in plain numbers."""
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = R.tolist()
    x, y, z = 0.5 * (r21 - r12), 0.5 * (r02 - r20), 0.5 * (r10 - r01)
    sine, cosine = math.sqrt(x * x + y * y + z * z), 0.5 * (r00 + r11 + r22 - 1.0)
    if sine <= 1e-7:
        x, y, z = log_so3(R).tolist()
        return x, y, z
    scale = math.atan2(sine, cosine) / sine
    return x * scale, y * scale, z * scale


def _turn(x: float, y: float, z: float) -> list[list[float]]:
    """`se3.exp_so3` likewise, ``(3, 3)``."""
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-6:
        a, b = 1.0 - angle * angle / 6.0, 0.5 - angle * angle / 24.0  # fixed: Taylor series of sine and cosine
    else:
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / (angle * angle)
    xx, yy, zz = x * x, y * y, z * z
    return [
        [1.0 - b * (yy + zz), b * x * y - a * z, b * x * z + a * y],
        [b * x * y + a * z, 1.0 - b * (xx + zz), b * y * z - a * x],
        [b * x * z - a * y, b * y * z + a * x, 1.0 - b * (xx + yy)],
    ]
