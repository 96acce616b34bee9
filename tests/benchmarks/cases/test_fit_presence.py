from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cases.fit_presence import (
    BOUNDS,
    MARGIN_LOGIT,
    RECORDED,
    FitOptions,
    best_poses,
    fit,
    fit_presence,
    fit_searches,
    left_out_logits,
    said_at,
)
from benchmarks.presence_poses import (
    FEATURES,
    KNOWN,
    WITHOUT,
    Poses,
    pose_rows,
    read_rows,
    recorded_poses,
    save_rows,
)
from storm_edge.errors import InputError
from storm_edge.pipeline.detect.config import DetectConfig, PresenceConfig
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence


@pytest.fixture
def made_up(rng: np.random.Generator) -> Poses:
    """Searches of four poses in 40 images; in every second search one is right, and differs in one feature."""
    rows = []
    for search in range(160):
        for pose in range(4):
            there, right = search % 2 == 0, search % 2 == 0 and pose == 2
            features = rng.standard_normal(len(FEATURES))
            features[3] += 4.0 * right
            rows.append([search // 4, search, search % 5 == 0, there, right, *features])
    return Poses.of(rows)


def test_the_recorded_poses_give_the_shipped_weights() -> None:
    weights, constant = fit_searches(recorded_poses(RECORDED))
    found = {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)}
    shipped = PresenceConfig()
    features = [field.name for field in fields(CandidateFeatures) if field.name not in WITHOUT]
    expected = {name: getattr(shipped, name) for name in features}
    evidence = {field.name: getattr(shipped.evidence, field.name) for field in fields(ShapeEvidence)}
    expected |= {name: weight for name, weight in evidence.items() if name not in WITHOUT}
    assert found == {**expected, "network": shipped.network_weight}
    assert {evidence[name] for name in WITHOUT if name in evidence} == {0.0}
    assert round(constant - MARGIN_LOGIT, 2) == round(shipped.constant + shipped.evidence.constant, 2)


def test_weights_that_have_not_seen_a_scene_believe_what_is_there_in_it() -> None:
    poses = recorded_poses(RECORDED)
    said = said_at(poses, left_out_logits(poses))
    asked = BOUNDS.index(DetectConfig().min_probability)
    assert said["images_absent_found"][asked] <= 0.02
    assert said["recordings_absent_found"][asked] <= 0.005
    assert said["images_found"][asked] > 0.8, "objects that no search could place are among them"
    assert said["recordings_found"][asked] > 0.85


def test_the_feature_that_tells_right_from_wrong_is_found(made_up: Poses) -> None:
    weights, _ = fit_searches(made_up)
    assert weights[3] > 4.0 * np.abs(np.delete(weights, 3)).max()
    said = said_at(made_up, left_out_logits(made_up) + MARGIN_LOGIT)
    half = BOUNDS.index(0.5)
    assert said["images_found"][half] > 0.8
    assert said["images_absent_found"][half] < 0.2
    assert said["images_found"] == sorted(said["images_found"], reverse=True)


def test_many_like_poses_of_one_search_count_as_one(made_up: Poses) -> None:
    """A search that tries a wrong place a hundred times says no more than one that tries it once."""
    wrong = made_up.is_wrong & (made_up.search == 1)
    often = Poses(
        **{
            field.name: np.concatenate(
                [getattr(made_up, field.name), *100 * [getattr(made_up, field.name)[wrong]]], axis=0
            )
            for field in fields(Poses)
        }
    )
    np.testing.assert_allclose(fit_searches(often)[0], fit_searches(made_up)[0], atol=0.05)


def test_a_direction_that_separates_is_found(rng: np.random.Generator) -> None:
    """Right and wrong differ along one feature, which is in other units than the rest."""
    is_right = np.arange(400) % 2 == 0
    features = rng.standard_normal((400, 3)) * [1.0, 50.0, 1.0]
    features[:, 1] += np.where(is_right, 100.0, -100.0)
    weights, constant = fit(features, is_right, ridge=0.05)
    assert abs(weights[1] * 50.0) > 10.0 * max(abs(weights[0]), abs(weights[2]))
    assert ((features @ weights + constant > 0.0) == is_right).mean() > 0.95


def test_a_feature_that_is_always_the_same_has_no_weight(rng: np.random.Generator) -> None:
    is_right = np.arange(100) % 2 == 0
    features = np.column_stack([is_right + 0.1 * rng.standard_normal(100), np.full(100, 3.0)])
    weights, constant = fit(features, is_right)
    assert np.isfinite([*weights, constant]).all()
    assert weights[1] == 0.0


def test_poses_between_right_and_wrong_and_of_another_side_are_neither(tmp_path: Path) -> None:
    def scored(iou: float, occluded: float = 0.0, side: int = 1) -> dict[str, float]:
        return {"iou": iou, **dict.fromkeys(FEATURES, iou), "occluded": occluded, "side": side}

    found = pose_rows(
        [
            {"scene": 7, "there": True, "scored": [scored(0.9), scored(0.45), scored(0.1), scored(0.9, 0.9)]},
            {"scene": 8, "there": True, "scored": [scored(0.9, side=0)]},
            {"scene": 9, "there": False, "real": True, "scored": []},
        ]
    )
    save_rows(tmp_path / "poses.jsonl", found)
    poses = Poses.of(read_rows(tmp_path / "poses.jsonl"))
    assert poses.scene.tolist() == [7, 7, 7, 8]
    assert poses.search.tolist() == [0, 0, 0, 1]
    assert poses.kind.tolist() == [1, -1, 0, -1]
    assert poses.features.shape == (4, len(FEATURES))


def test_a_record_holds_the_best_pose_of_either_kind_in_hundredths(made_up: Poses) -> None:
    kept = best_poses(made_up)
    assert len(np.unique(kept.search[kept.is_right])) == 80
    assert len(kept.scene) < len(made_up.scene)
    written = kept.written()
    assert written["columns"].split() == [*KNOWN, *FEATURES]
    rows = [[float(value) for value in row.split()] for line in written["rows"] for row in line.split("; ")]
    np.testing.assert_allclose(Poses.of(rows).features / 100.0, kept.features, atol=1e-9)


def test_too_few_poses_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cases.fit_presence.search_all", lambda options: [])
    with pytest.raises(InputError, match="search more images") as raised:
        fit_presence(FitOptions())
    assert "\n" not in str(raised.value)
