"""Values worked out by hand on a few points."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.evaluate.metrics import (
    ModelPoints,
    auc,
    depth_residual_m,
    mask_iou,
    recall,
    rotation_error_deg,
    translation_error_m,
)
from storm_edge.geometry.se3 import exp_so3, invert, make_T, random_rotation, transform

I4 = np.eye(4)


def moved(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return make_T(np.eye(3), [x, y, z])


def turned_z(degrees: float) -> np.ndarray:
    return make_T(exp_so3([0.0, 0.0, np.deg2rad(degrees)]), np.zeros(3))


def test_add_of_a_shift_is_its_length() -> None:
    model = ModelPoints(np.random.default_rng(0).random((50, 3)))
    assert model.add(I4, moved(0.003, 0.004)) == pytest.approx(0.005, abs=1e-12)


def test_add_s_of_two_points_shifted_onto_each_other() -> None:
    """Points at 0 and 10 mm, predicted at 10 and 20 mm: the first is 10 mm from the nearest, the second 0."""
    model = ModelPoints([[0.0, 0.0, 0.0], [0.010, 0.0, 0.0]])
    assert model.add(I4, moved(0.010)) == pytest.approx(0.010)
    assert model.add_s(I4, moved(0.010)) == pytest.approx(0.005)


def test_half_turn_of_a_dumbbell() -> None:
    """Each end lands on the other, 2 m away: ADD 2, ADD-S 0, and ADD 0 once the symmetry is stated."""
    ends = [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    plain, symmetric = ModelPoints(ends), ModelPoints(ends, [I4, turned_z(180.0)])
    assert plain.add(I4, turned_z(180.0)) == pytest.approx(2.0)
    assert plain.add_symmetric(I4, turned_z(180.0)) == pytest.approx(2.0)
    assert plain.add_s(I4, turned_z(180.0)) == pytest.approx(0.0, abs=1e-12)
    assert symmetric.add_symmetric(I4, turned_z(180.0)) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(symmetric.nearest_truth(I4, turned_z(170.0)), turned_z(180.0), atol=1e-12)


def test_quarter_turn_of_a_dumbbell() -> None:
    """Ends at (+-1, 0) against (0, +-1): every distance is sqrt 2."""
    model = ModelPoints([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    assert model.add(I4, turned_z(90.0)) == pytest.approx(np.sqrt(2.0))
    assert model.add_s(I4, turned_z(90.0)) == pytest.approx(np.sqrt(2.0))


def test_add_s_searches_from_the_truth_to_the_prediction() -> None:
    """Not symmetric: true {0, 1, 2} against predicted {2, 3, 4} gives 2, 1, 0 from the truth."""
    model = ModelPoints([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert model.add_s(I4, moved(2.0)) == pytest.approx(1.0)


def test_add_s_equals_brute_force_under_any_motion(rng: np.random.Generator) -> None:
    points = rng.random((40, 3))
    T_true = make_T(random_rotation(rng), rng.random(3))
    T_pred = make_T(random_rotation(rng), rng.random(3))
    a, b = transform(T_true, points), transform(T_pred, points)
    expected = np.linalg.norm(a[:, None] - b[None], axis=2).min(axis=1).mean()
    assert ModelPoints(points).add_s(T_true, T_pred) == pytest.approx(expected, rel=1e-9)
    assert ModelPoints(points).add(T_true, T_pred) == pytest.approx(np.linalg.norm(a - b, axis=1).mean())


def test_repeated_points_count_once() -> None:
    """Vertices split at creases must not weigh more."""
    far, near = [[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]
    assert len(ModelPoints(far * 5 + near).points) == 2


def test_rotation_and_translation_errors() -> None:
    T = make_T(exp_so3([0.0, 0.0, np.pi / 2]), [0.03, 0.0, 0.04])
    assert rotation_error_deg(I4, T) == pytest.approx(90.0)
    assert translation_error_m(I4, T) == pytest.approx(0.05)
    assert rotation_error_deg(T, T @ invert(T) @ T) == pytest.approx(0.0, abs=1e-6)


def test_recall_counts_missing_poses_as_misses() -> None:
    assert recall([0.001, 0.02, np.inf, np.nan], 0.01) == 0.25
    assert recall([0.01], 0.01) == 0.0  # below, not at
    assert np.isnan(recall([], 0.01))


def test_auc_of_known_errors() -> None:
    """Errors 0, 50 mm, 100 mm and none at all: 1, 0.5, 0 and 0 of the area, 37.5 % in the mean."""
    assert auc([0.0, 0.05, 0.1, np.inf]) == pytest.approx(37.5)
    assert auc([0.0]) == 100.0
    assert auc([np.nan]) == 0.0
    assert np.isnan(auc([]))


def test_auc_is_the_area_under_the_accuracy_curve(rng: np.random.Generator) -> None:
    errors = rng.random(30) * 0.15
    thresholds = (np.arange(100_000) + 0.5) / 100_000 * 0.1
    accuracy = (errors[:, None] < thresholds).mean(axis=0)
    assert auc(errors) == pytest.approx(100.0 * accuracy.mean(), abs=1e-3)


def test_mask_iou() -> None:
    a = np.zeros((4, 4), dtype=bool)
    a[:2] = True
    b = np.zeros((4, 4), dtype=bool)
    b[1:3] = True
    assert mask_iou(a, b) == pytest.approx(4 / 12)
    assert mask_iou(a, a) == 1.0
    assert mask_iou(a, ~a) == 0.0
    assert mask_iou(np.zeros((2, 2), dtype=bool), np.zeros((2, 2), dtype=bool)) == 1.0


def test_depth_residual_uses_pixels_that_both_have_inside_the_mask() -> None:
    rendered = np.array([[1.00, 1.00, 1.00, 0.00, 1.00]])
    measured = np.array([[1.01, 0.97, 0.00, 1.00, 5.00]])
    mask = np.array([[True, True, True, True, False]])
    assert depth_residual_m(rendered, measured, mask) == pytest.approx(0.02)  # median of 10 and 30 mm
    assert np.isnan(depth_residual_m(rendered, measured, np.zeros_like(mask)))
