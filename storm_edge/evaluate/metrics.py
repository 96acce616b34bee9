"""Pose and mask errors, and the shares that papers report of them.

Definitions:

* ADD (Hinterstoisser et al., ACCV 2012): mean distance between a model point under the two poses.
* ADD-S (same paper; PoseCNN): mean distance from a model point under the true pose to the *nearest* model point
  under the predicted one. Blind to symmetry, and to turns that keep the shape. STORM's evaluation goes the other
  way, from the predicted points to the nearest true ones (`ModelPoints.add_s_from_prediction`).
* Recall at 0.1 d: share of errors below a tenth of the object's diameter. A missing pose has an infinite error.
* AUC to 0.1 m (PoseCNN, Xiang et al., RSS 2018): area under the accuracy curve (share of errors below a threshold)
  for thresholds from 0 to 0.1 m, as a percentage of the full area. Computed exactly: the curve is a step function,
  so its area is the mean of ``max(0, 1 - error / 0.1 m)``. The YCB-Video toolbox integrates the same curve with the
  step taken one sample early, which reads higher by at most 100 / N points for N errors.

All lengths in metres. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from storm_edge.geometry.se3 import invert, rotation_angle, transform

Float64 = NDArray[np.float64]

AUC_LIMIT_M = 0.1
RECALL_SHARE = 0.1


class ModelPoints:
    """Points of one model, ready to compare poses with.

    Args:
        points: Distinct model points [m], shape ``(P, 3)``.
        symmetries: Motions of the same frame that map the object onto itself, identity first, ``(S, 4, 4)``.
    """

    def __init__(self, points: ArrayLike, symmetries: ArrayLike | None = None) -> None:
        self.points: Float64 = np.unique(np.asarray(points, dtype=np.float64), axis=0)
        self.symmetries: Float64 = np.eye(4)[None] if symmetries is None else np.asarray(symmetries, dtype=np.float64)
        self._tree = cKDTree(self.points)

    def add(self, T_true: ArrayLike, T_pred: ArrayLike) -> float:
        """ADD [m] between two poses ``(4, 4)``."""
        difference = transform(T_true, self.points) - transform(T_pred, self.points)
        return float(np.linalg.norm(difference, axis=1).mean())

    def add_symmetric(self, T_true: ArrayLike, T_pred: ArrayLike) -> float:
        """ADD [m] to the nearest of the truths that the stated symmetries make equal; ADD where there are none."""
        return min(self.add(T, T_pred) for T in np.asarray(T_true, dtype=np.float64) @ self.symmetries)

    def add_s(self, T_true: ArrayLike, T_pred: ArrayLike) -> float:
        """ADD-S [m]: exact nearest neighbours, found in the model's frame, where the search tree never moves."""
        true_in_pred = transform(invert(T_pred) @ np.asarray(T_true, dtype=np.float64), self.points)
        return float(np.mean(self._tree.query(true_in_pred)[0]))

    def add_s_from_prediction(self, T_true: ArrayLike, T_pred: ArrayLike) -> float:
        """ADD-S [m] the other way: from every predicted point to the nearest true one."""
        return self.add_s(T_pred, T_true)

    def nearest_truth(self, T_true: ArrayLike, T_pred: ArrayLike) -> Float64:
        """Among the truths that symmetry makes equal the one with the least ADD, ``(4, 4)``."""
        truths = np.asarray(T_true, dtype=np.float64) @ self.symmetries
        return np.asarray(truths[int(np.argmin([self.add(T, T_pred) for T in truths]))])


def rotation_error_deg(T_true: ArrayLike, T_pred: ArrayLike) -> float:
    """Angle [deg] of the turn between two poses ``(4, 4)``."""
    R_true, R_pred = (np.asarray(T, dtype=np.float64)[:3, :3] for T in (T_true, T_pred))
    return float(np.rad2deg(rotation_angle(R_true, R_pred)))


def translation_error_m(T_true: ArrayLike, T_pred: ArrayLike) -> float:
    """Distance [m] between the origins of two poses ``(4, 4)``."""
    t_true, t_pred = (np.asarray(T, dtype=np.float64)[:3, 3] for T in (T_true, T_pred))
    return float(np.linalg.norm(t_true - t_pred))


def recall(errors_m: Sequence[float] | Float64, threshold_m: float) -> float:
    """Share [0, 1] of errors below the threshold; infinite and NaN errors count as misses, no errors give NaN."""
    errors = np.asarray(errors_m, dtype=np.float64)
    return float((errors < threshold_m).mean()) if len(errors) else float("nan")


def auc(errors_m: Sequence[float] | Float64, limit_m: float = AUC_LIMIT_M) -> float:
    """Area under the accuracy curve from 0 to ``limit_m``, in percent of the full area; no errors give NaN."""
    errors = np.asarray(errors_m, dtype=np.float64)
    if not len(errors):
        return float("nan")
    errors = np.where(np.isfinite(errors), errors, np.inf)
    return float(100.0 * np.maximum(0.0, 1.0 - errors / limit_m).mean())


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks ``(H, W)``; two empty ones agree (1)."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def depth_residual_m(
    rendered_m: NDArray[np.floating], measured_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> float:
    """Median absolute difference [m] of two depth images ``(H, W)`` inside ``mask``, where both have a value.

    NaN where they share no pixel.
    """
    shared = mask & (rendered_m > 0.0) & (measured_m > 0.0)
    if not shared.any():
        return float("nan")
    return float(np.median(np.abs(rendered_m[shared].astype(np.float64) - measured_m[shared])))
