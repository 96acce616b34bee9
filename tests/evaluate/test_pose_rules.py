"""The rules of upstream's evaluations against short references of their formulas, written from those formulas."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.choices import AddSFrom, AucRule, MissingPoses
from storm_edge.evaluate.metrics import ModelPoints, auc
from storm_edge.evaluate.pose_evaluation import PoseEvaluation
from storm_edge.evaluate.pose_rules import PoseRules
from storm_edge.evaluate.poses import score
from storm_edge.geometry.se3 import make_T, random_rotation, transform


def millimetre_area(errors: np.ndarray) -> float:
    """Accuracy at 0, 1, ..., 100 mm, joined by straight lines; the share of the square under them [%]."""
    accuracy = [np.mean([error <= mm * 0.001 + 1e-12 for error in errors]) for mm in range(101)]
    return sum(accuracy[mm] + accuracy[mm + 1] for mm in range(100)) / 2.0


def hundred_sample_area(errors: np.ndarray, diameters: np.ndarray) -> float:
    """Accuracy at 100 places from 0 to 0.1 d, both included, joined by straight lines [%]."""
    places = [0.1 * i / 99 for i in range(100)]
    accuracy = [np.mean(errors / diameters <= place) for place in places]
    return 100.0 * sum(accuracy[i] + accuracy[i + 1] for i in range(99)) / 2.0 / 99


def test_areas_equal_the_references(rng: np.random.Generator) -> None:
    errors, diameters = rng.random(40) * 0.13, rng.uniform(0.1, 0.5, 40)
    errors[:3] = np.inf
    assert PoseRules(auc=AucRule.FOUNDATIONPOSE).area(errors, diameters) == pytest.approx(millimetre_area(errors))
    assert PoseRules(auc=AucRule.STORM).area(errors, diameters) == pytest.approx(
        hundred_sample_area(errors, diameters)
    )
    assert PoseRules().area(errors, diameters) == auc(errors)


def test_sampled_areas_are_within_half_a_step_of_the_exact_one() -> None:
    """Equal where errors are spread evenly, half a point more where all lie just below a sample."""
    errors = (np.arange(10_000) + 0.5) * 1e-5
    ones = np.ones(len(errors))
    assert PoseRules(auc=AucRule.FOUNDATIONPOSE).area(errors, ones) == pytest.approx(auc(errors), abs=0.01)
    whole = np.ceil(errors * 1000.0 - 1e-9) * 0.001 - 1e-6  # all just below the next sample
    assert PoseRules(auc=AucRule.FOUNDATIONPOSE).area(whole, ones) - auc(whole) == pytest.approx(0.5, abs=0.01)


def test_no_errors_have_no_area() -> None:
    for rule in AucRule:
        assert np.isnan(PoseRules(auc=rule).area([], []))


def evaluation(T_pred: np.ndarray | None, error_m: float) -> PoseEvaluation:
    return PoseEvaluation(
        frame_id=0,
        object_id="box",
        diameter_m=0.2,
        quality=None,
        T_true=np.eye(4),
        T_pred=T_pred,
        add_m=error_m,
        add_symmetric_m=error_m,
        add_s_m=error_m,
    )


def test_missing_poses_count_or_are_left_out() -> None:
    given = [evaluation(np.eye(4), 0.0), evaluation(np.eye(4), 0.05), evaluation(None, np.inf)]
    counted = score("box", given)
    assert (counted.label_count, counted.pose_count) == (3, 2)
    assert counted.add_recall == pytest.approx(1.0 / 3.0)
    assert counted.add_auc == pytest.approx(50.0)
    left_out = score("box", given, PoseRules(missing=MissingPoses.LEAVE_OUT))
    assert (left_out.label_count, left_out.pose_count) == (3, 2)
    assert left_out.add_recall == pytest.approx(0.5)
    assert left_out.add_auc == pytest.approx(75.0)
    nothing = score("box", given[2:], PoseRules(missing=MissingPoses.LEAVE_OUT))
    assert (nothing.add_recall, nothing.add_auc) == (None, None)


def test_add_s_in_storms_direction_equals_brute_force(rng: np.random.Generator) -> None:
    points = rng.random((50, 3)) * [0.3, 0.1, 0.05]
    T_true, T_pred = make_T(random_rotation(rng), rng.random(3)), make_T(random_rotation(rng), rng.random(3))
    apart = np.linalg.norm(transform(T_pred, points)[:, None] - transform(T_true, points)[None], axis=2)
    model = ModelPoints(points)
    assert model.add_s_from_prediction(T_true, T_pred) == pytest.approx(apart.min(axis=1).mean())
    assert model.add_s(T_true, T_pred) == pytest.approx(apart.min(axis=0).mean())
    assert apart.min(axis=1).mean() != pytest.approx(apart.min(axis=0).mean(), rel=1e-3)


def test_the_rules_are_said() -> None:
    rules = PoseRules(add_s_from=AddSFrom.PREDICTION, auc=AucRule.FOUNDATIONPOSE, missing=MissingPoses.LEAVE_OUT)
    assert rules.report() == {"add_s_from": "prediction", "auc": "foundationpose", "missing": "leave-out"}
    assert [s.split()[0] for s in rules.sentences()] == ["ADD-S", "AUC", "labels"]
