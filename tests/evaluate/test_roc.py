from __future__ import annotations

import itertools

import numpy as np
import pytest

from storm_edge.evaluate.roc import accuracy, roc_curve


def test_the_area_is_how_likely_a_same_pair_has_the_higher_score() -> None:
    rng = np.random.default_rng(1)
    scores = np.round(rng.uniform(size=60), 1)  # with ties
    is_same = rng.uniform(size=60) < 0.4
    curve = roc_curve(scores, is_same)
    assert curve is not None
    pairs = list(itertools.product(scores[is_same], scores[~is_same]))
    expected = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert curve.area == pytest.approx(expected, abs=1e-12)
    assert (curve.false_positive_share[0], curve.true_positive_share[-1]) == (0.0, 1.0)
    for threshold, share in zip(curve.thresholds, curve.true_positive_share, strict=True):
        assert share == np.mean(scores[is_same] >= threshold)


def test_without_one_of_the_classes_there_is_no_curve() -> None:
    assert roc_curve(np.array([0.1, 0.2]), np.array([True, True])) is None


def test_the_threshold_itself_is_the_same() -> None:
    assert accuracy(np.array([0.9, 0.89]), np.array([True, False]), 0.9) == 1.0
