from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cases.fit_presence import (
    FEATURES,
    Candidates,
    FitOptions,
    candidates_of,
    cross_validated_auroc,
    fit,
    fit_presence,
    recorded_candidates,
)
from storm_edge.errors import InputError
from storm_edge.pipeline.detect.config import PresenceConfig


def test_the_recorded_candidates_give_the_shipped_weights() -> None:
    candidates = recorded_candidates()
    weights, constant = fit(candidates.features, candidates.is_right)
    found = {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)}
    shipped = PresenceConfig()
    assert found == {name: getattr(shipped, name) for name in FEATURES}
    assert round(constant, 2) == shipped.constant
    assert round(cross_validated_auroc(candidates), 4) == 0.9986


def test_a_direction_that_separates_is_found(rng: np.random.Generator) -> None:
    """Right and wrong differ along one feature, which is in other units than the rest."""
    is_right = np.arange(400) % 2 == 0
    features = rng.standard_normal((400, 3)) * [1.0, 50.0, 1.0]
    features[:, 1] += np.where(is_right, 100.0, -100.0)
    weights, constant = fit(features, is_right)
    assert abs(weights[1] * 50.0) > 10.0 * max(abs(weights[0]), abs(weights[2]))
    assert ((features @ weights + constant > 0.0) == is_right).mean() > 0.95
    scene = np.arange(400) // 10
    assert cross_validated_auroc(Candidates(scene=scene, is_right=is_right, features=features)) > 0.98


def test_a_feature_that_is_always_the_same_has_no_weight(rng: np.random.Generator) -> None:
    is_right = np.arange(100) % 2 == 0
    features = np.column_stack([is_right + 0.1 * rng.standard_normal(100), np.full(100, 3.0)])
    weights, constant = fit(features, is_right)
    assert np.isfinite([*weights, constant]).all()
    assert weights[1] == 0.0


def test_candidates_between_right_and_wrong_are_left_out() -> None:
    def row(iou: float) -> dict[str, float]:
        return {"iou": iou, **dict.fromkeys(FEATURES, iou)}

    found = candidates_of([{"scene": 7, "tried": [row(0.9), row(0.45), row(0.1)]}, {"scene": 8, "tried": []}])
    assert found.scene.tolist() == [7, 7]
    assert found.is_right.tolist() == [True, False]
    assert found.features.shape == (2, len(FEATURES))


def test_too_few_candidates_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cases.fit_presence.search_all", lambda options: [])
    with pytest.raises(InputError, match="search more images") as raised:
        fit_presence(FitOptions())
    assert "\n" not in str(raised.value)
