from __future__ import annotations

from dataclasses import fields

import numpy as np

from benchmarks.cases.fit_colourless import COLOURS, MARGIN_LOGIT, RECORDED, without_colours
from benchmarks.cases.fit_presence import BOUNDS, fit_searches, left_out_logits, said_at
from benchmarks.cases.fit_presence import MARGIN_LOGIT as MARGIN_WITH_COLOURS
from benchmarks.presence_poses import FEATURES, KNOWN, WITHOUT, Poses, recorded_poses
from storm_edge.pipeline.detect.config import DetectConfig
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence


def test_the_recorded_poses_give_the_shipped_weights() -> None:
    weights, constant = fit_searches(recorded_poses(RECORDED))
    found = {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)}
    assert {found.pop(name) for name in COLOURS} == {0.0}
    shipped = DetectConfig().presence_without_colours
    names = {field.name for field in fields(CandidateFeatures)}
    expected = {name: getattr(shipped if name in names else shipped.evidence, name) for name in found}
    assert found == expected
    assert round(constant - MARGIN_LOGIT, 2) == shipped.constant + shipped.evidence.constant


def test_nothing_else_has_a_weight() -> None:
    shipped = DetectConfig().presence_without_colours
    evidence = {field.name for field in fields(ShapeEvidence)}
    unfitted = {*COLOURS, *WITHOUT} - {"network"}
    assert {getattr(shipped.evidence if name in evidence else shipped, name) for name in unfitted} == {0.0}


def test_weights_that_have_not_seen_a_scene_believe_what_is_there_in_it() -> None:
    poses = recorded_poses(RECORDED)
    said = said_at(poses, left_out_logits(poses) - (MARGIN_LOGIT - MARGIN_WITH_COLOURS))
    asked = BOUNDS.index(DetectConfig().min_probability)
    assert said["images_absent_found"][asked] <= 0.01
    assert said["images_found"][asked] > 0.65, (
        "only poses that bear on the fit are recorded, those of recordings among them"
    )


def test_features_of_colours_say_nothing_of_a_model_without_any(rng: np.random.Generator) -> None:
    poses = without_colours(Poses.of(rng.standard_normal((5, len(KNOWN) + len(FEATURES)))))
    is_colour = np.isin(FEATURES, COLOURS)
    assert not poses.features[:, is_colour].any()
    assert poses.features[:, ~is_colour].all()
