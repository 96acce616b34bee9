"""Single poses by the shipped ScoreNet, and bundles whose ScoreNet is not asked for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.pipeline.refine.lone_scores import LonePoseScorer, open_lone_scorer
from tests.faulty import FaultyBundle
from tests.nano_with_score import write_nano_without_score
from tests.staged import Staged


def test_each_pose_is_judged_by_itself_and_the_right_one_is_best(staged: Staged) -> None:
    T = staged.T_cam_centre
    upside_down = make_T(T[:3, :3] @ exp_so3([np.pi, 0.0, 0.0]), T[:3, 3])
    aside = make_T(T[:3, :3], T[:3, 3] + [0.6 * staged.bundle.diameter_m, 0.0, 0.0])
    scorer = LonePoseScorer(staged.item, NetworkBundle.load("nano"))
    buffers = staged.buffers()
    together = scorer.logits(buffers, np.stack([upside_down, T, aside]))
    assert together.argmax() == 1
    alone = [float(scorer.logits(buffers, pose[None])[0]) for pose in (upside_down, T, aside)]
    assert together == pytest.approx(alone)


def test_only_one_that_knows_single_poses_is_opened(staged: Staged, tmp_path: Path) -> None:
    nano = NetworkBundle.load("nano")
    without = NetworkBundle.load(write_nano_without_score(tmp_path / "bare"))
    assert open_lone_scorer(staged.item, nano) is not None
    for networks in (None, without, replace(nano, tier="full")):
        assert open_lone_scorer(staged.item, networks) is None


def test_an_answer_that_is_no_number_is_the_worst_and_counted(staged: Staged) -> None:
    networks = FaultyBundle.nano()
    networks.plan.answers["score_attention"] = float("nan")
    scorer = LonePoseScorer(staged.item, networks)
    assert scorer.logits(staged.buffers(), staged.T_cam_centre[None])[0] < -50.0
    assert scorer.non_finite_count == 1
