from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from benchmarks.cases.fit_presence import (
    FEATURES,
    MARGIN_LOGIT,
    Candidates,
    FitOptions,
    candidates_of,
    fit,
    fit_presence,
    left_out_logits,
    recorded_candidates,
)
from storm_edge.errors import InputError
from storm_edge.evaluate.recovery import auroc
from storm_edge.pipeline.detect.config import DetectConfig, PresenceConfig
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence


def test_the_recorded_candidates_give_the_shipped_weights() -> None:
    candidates = recorded_candidates()
    weights, constant = fit(candidates.features, candidates.is_right)
    found = {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)}
    shipped = PresenceConfig()
    expected = {field.name: getattr(shipped, field.name) for field in fields(CandidateFeatures)}
    expected |= {field.name: getattr(shipped.evidence, field.name) for field in fields(ShapeEvidence)}
    assert found == {**expected, "network": shipped.network_weight}
    assert round(constant - MARGIN_LOGIT, 2) == shipped.constant + shipped.evidence.constant


def test_no_wrong_pose_is_believed_by_weights_that_have_not_seen_its_scene() -> None:
    candidates = recorded_candidates()
    logits = left_out_logits(candidates) - MARGIN_LOGIT
    asked = DetectConfig().min_probability
    asked_logit = np.log(asked / (1.0 - asked))
    assert logits[~candidates.is_right].max() < asked_logit
    assert (logits[candidates.is_right] > asked_logit).mean() > 0.8, "of all poses, those that are refined later too"


def test_a_direction_that_separates_is_found(rng: np.random.Generator) -> None:
    """Right and wrong differ along one feature, which is in other units than the rest."""
    is_right = np.arange(400) % 2 == 0
    features = rng.standard_normal((400, 3)) * [1.0, 50.0, 1.0]
    features[:, 1] += np.where(is_right, 100.0, -100.0)
    weights, constant = fit(features, is_right, ridge=0.05)
    assert abs(weights[1] * 50.0) > 10.0 * max(abs(weights[0]), abs(weights[2]))
    assert ((features @ weights + constant > 0.0) == is_right).mean() > 0.95
    scene = np.arange(400) // 10
    logits = left_out_logits(Candidates(scene=scene, is_right=is_right, features=features))
    assert auroc(logits.tolist(), is_right.tolist()) > 0.98


def test_a_feature_that_is_always_the_same_has_no_weight(rng: np.random.Generator) -> None:
    is_right = np.arange(100) % 2 == 0
    features = np.column_stack([is_right + 0.1 * rng.standard_normal(100), np.full(100, 3.0)])
    weights, constant = fit(features, is_right)
    assert np.isfinite([*weights, constant]).all()
    assert weights[1] == 0.0


def test_candidates_between_right_and_wrong_are_left_out() -> None:
    def row(iou: float, occluded: float = 0.0) -> dict[str, float]:
        return {"iou": iou, **dict.fromkeys(FEATURES, iou), "occluded": occluded}

    found = candidates_of(
        [{"scene": 7, "scored": [row(0.9), row(0.45), row(0.1), row(0.9, 0.9)]}, {"scene": 8, "scored": []}]
    )
    assert found.scene.tolist() == [7, 7]
    assert found.is_right.tolist() == [True, False]
    assert found.features.shape == (2, len(FEATURES))


def test_too_few_candidates_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cases.fit_presence.search_all", lambda options: [])
    with pytest.raises(InputError, match="search more images") as raised:
        fit_presence(FitOptions())
    assert "\n" not in str(raised.value)
