"""The three pose errors of the BOP challenge: VSD, MSSD and MSPD.

Definitions (Hodan et al., "BOP: Benchmark for 6D Object Pose Estimation", ECCV 2018, and the challenge since 2019):

* VSD, visible surface discrepancy: of the pixels where the surface is visible at either pose, the share in which it
  is not at both, or its distances from the camera differ by ``tau`` or more. A surface is visible where it is at most
  ``delta`` behind the measured one, or nothing was measured; at the estimated pose also where it is visible at the
  true one. ``tau`` is in diameters.
* MSSD: the largest distance of a model point between the two poses, of the symmetric truth for which it is least.
* MSPD: the same of its projections [px].

A continuous symmetry is taken in 315 steps, so that no point moves more than a hundredth of the diameter. Metres
inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.models import ModelInfo
from storm_edge.geometry.se3 import exp_so3, make_T, transform

Float64 = NDArray[np.float64]

VSD_DELTA_M = 0.015
"""How far behind the measured surface a visible one may lie [m]."""
TAUS = np.arange(0.05, 0.51, 0.05)
"""Distances from which surfaces count as different [diameters]."""
_SYMMETRY_STEPS = int(np.ceil(np.pi / 0.01))
_AT_ONCE = 2_000_000  # points whose distances are computed together


def symmetry_motions(info: ModelInfo) -> Float64:
    """All motions ``(S, 4, 4)`` [m] that the stated symmetries make equal, identity first."""
    discrete = [np.eye(4), *info.symmetries_discrete]
    turns: list[Float64] = []
    for symmetry in info.symmetries_continuous:
        axis, offset = np.asarray(symmetry.axis), np.asarray(symmetry.offset_m)
        axis = axis / np.linalg.norm(axis)
        for step in range(_SYMMETRY_STEPS):
            R = exp_so3(axis * (2.0 * np.pi * step / _SYMMETRY_STEPS))
            turns.append(make_T(R, offset - R @ offset))
    return np.stack([turn @ motion for motion in discrete for turn in turns or [np.eye(4)]])


def vsd(
    true_m: NDArray[np.floating],
    estimated_m: NDArray[np.floating],
    measured_m: NDArray[np.floating],
    K: Float64,
    diameter_m: float,
    *,
    delta_m: float = VSD_DELTA_M,
) -> Float64:
    """VSD for all of `TAUS`, ``(10,)``.

    Args:
        true_m: Depth of the model at the true pose [m], ``(H, W)``, 0 beside it.
        estimated_m: The same at the estimated pose.
        measured_m: Depth image [m], ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
        diameter_m: Of the object [m].
        delta_m: See `VSD_DELTA_M`.
    """
    height, width = measured_m.shape
    x = (np.arange(width) - K[0, 2]) / K[0, 0]
    y = (np.arange(height) - K[1, 2]) / K[1, 1]
    ray = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + 1.0)
    true, estimated, measured = (image.astype(np.float64) * ray for image in (true_m, estimated_m, measured_m))
    unmeasured = measured == 0.0
    seen_true = (true > 0.0) & (unmeasured | (true - measured <= delta_m))
    seen_estimated = (estimated > 0.0) & (unmeasured | (estimated - measured <= delta_m) | seen_true)
    both = seen_true & seen_estimated
    either_count = int(np.count_nonzero(seen_true | seen_estimated))
    if not either_count:
        return np.ones(len(TAUS))
    apart = np.abs(true[both] - estimated[both]) / diameter_m
    one_count = either_count - int(np.count_nonzero(both))
    return np.array([(np.count_nonzero(apart >= tau) + one_count) / either_count for tau in TAUS])


def mssd(T_true: Float64, T_estimated: Float64, points: Float64, symmetries: Float64) -> float:
    """MSSD [m] of two poses ``(4, 4)``; points ``(P, 3)``, symmetries ``(S, 4, 4)``."""
    estimated = transform(T_estimated, points)
    return _least_largest(T_true, points, symmetries, estimated)


def mspd(T_true: Float64, T_estimated: Float64, points: Float64, symmetries: Float64, K: Float64) -> float:
    """MSPD [px] of two poses ``(4, 4)``; other arguments as of `mssd` and `vsd`."""
    return _least_largest(T_true, points, symmetries, _projected(transform(T_estimated, points), K), K)


def _least_largest(
    T_true: Float64, points: Float64, symmetries: Float64, estimated: Float64, K: Float64 | None = None
) -> float:
    """Over symmetries the least, over points the largest distance."""
    truths = T_true @ symmetries
    size = max(1, _AT_ONCE // len(points))
    least = np.inf
    for start in range(0, len(truths), size):
        part = truths[start : start + size]
        moved = points @ part[:, :3, :3].transpose(0, 2, 1) + part[:, None, :3, 3]
        if K is not None:
            moved = _projected(moved, K)
        least = min(least, float(np.linalg.norm(moved - estimated, axis=-1).max(axis=1).min()))
    return least


def _projected(points: Float64, K: Float64) -> Float64:
    """Pixels ``(..., 2)`` of points ``(..., 3)`` in the camera's frame."""
    image = points @ K.T
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels: Float64 = image[..., :2] / image[..., 2:]
    return np.where(np.isfinite(pixels), pixels, np.inf)


def points_of(vertices: Sequence[Sequence[float]] | NDArray[np.floating]) -> Float64:
    """Distinct model points ``(P, 3)``: equal ones change no maximum."""
    return np.unique(np.asarray(vertices, dtype=np.float64), axis=0)
