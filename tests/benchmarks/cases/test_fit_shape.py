from __future__ import annotations

import numpy as np

from benchmarks.cases.fit_presence import fit
from benchmarks.cases.fit_shape import EVIDENCE, MARGIN_LOGIT, RIDGE, left_out_logits, recorded_poses
from storm_edge.pipeline.detect.config import DetectConfig, ShapeWeights


def test_the_recorded_poses_give_the_shipped_weights() -> None:
    poses = recorded_poses()
    weights, constant = fit(poses.evidence, poses.is_right, RIDGE)
    shipped = ShapeWeights()
    found = {name: round(float(weight), 2) for name, weight in zip(EVIDENCE, weights, strict=True)}
    assert found == {name: getattr(shipped, name) for name in EVIDENCE}
    assert round(constant - MARGIN_LOGIT, 2) == shipped.constant


def test_no_wrong_pose_is_believed_by_weights_that_have_not_seen_its_scene() -> None:
    """The best wrong one is 1.5 below what is asked for: those that were proposed by their shape come nearer."""
    poses = recorded_poses()
    logits = left_out_logits(poses) - MARGIN_LOGIT
    asked = DetectConfig().min_probability
    asked_logit = np.log(asked / (1.0 - asked))
    assert logits[~poses.is_right].max() < asked_logit - 1.4
    assert (logits[poses.is_right] > asked_logit).mean() > 0.6
