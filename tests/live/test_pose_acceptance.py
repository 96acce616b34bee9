"""Which poses may become the track, with the thresholds that ship."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storm_edge.live.config import StateMachineConfig
from storm_edge.live.events import PoseFound, PosePropagated
from storm_edge.live.object_state import ObjectState
from storm_edge.live.pose_acceptance import (
    accepts_after_loss,
    accepts_propagated_pose,
    is_current,
    is_worth_propagating,
)

CONFIG = StateMachineConfig()
NEVER_TRACKED = ObjectState(frame=10)
LOST = ObjectState(frame=10, trusted_frame=4)


def propagated(score: float, network_score: float | None = None, *, frame: int = 10) -> PosePropagated:
    return PosePropagated(attempt=1, frame=frame, score=score, network_score=network_score)


@pytest.mark.parametrize(("score", "expected"), [(0.64, False), (0.65, True)])
def test_a_found_pose_is_propagated_from_a_score_on(score: float, expected: bool) -> None:
    assert is_worth_propagating(PoseFound(attempt=1, frame=0, score=score), CONFIG) is expected


def test_after_a_loss_the_mean_of_both_scores_decides() -> None:
    assert accepts_after_loss(0.64, 1.0, CONFIG)
    assert not accepts_after_loss(0.63, 1.0, CONFIG)
    assert accepts_propagated_pose(LOST, propagated(0.64, 1.0), CONFIG)
    assert not accepts_propagated_pose(LOST, propagated(0.7, 0.7), CONFIG)


def test_a_first_pose_needs_geometry_and_no_veto_of_the_network() -> None:
    assert accepts_propagated_pose(NEVER_TRACKED, propagated(0.6), CONFIG)
    assert accepts_propagated_pose(NEVER_TRACKED, propagated(0.6, 0.6), CONFIG)
    assert not accepts_propagated_pose(NEVER_TRACKED, propagated(0.59, 1.0), CONFIG)
    assert not accepts_propagated_pose(NEVER_TRACKED, propagated(1.0, 0.59), CONFIG)


@pytest.mark.parametrize(
    ("score", "kept_share", "expected"),
    [(0.45, 1.0, True), (0.45, 0.9, True), (0.45, 0.89, False), (0.45, None, False), (0.39, 1.0, False)],
)
def test_what_a_search_found_need_only_be_as_good_as_it_was_there(
    score: float, kept_share: float | None, expected: bool
) -> None:
    """A mug that shines never has the score of a matt one; below what a track needs it is not followed."""
    pose = PosePropagated(attempt=1, frame=10, score=score, kept_share=kept_share)
    assert accepts_propagated_pose(NEVER_TRACKED, pose, CONFIG) is expected
    assert not accepts_propagated_pose(LOST, pose, CONFIG), "a wrong place costs more after a loss"


def test_without_a_network_geometry_decides_after_a_loss_too() -> None:
    assert accepts_propagated_pose(LOST, propagated(0.6), CONFIG)
    assert not accepts_propagated_pose(LOST, propagated(0.59), CONFIG)


@pytest.mark.parametrize(("frame", "expected"), [(10, True), (9, True), (8, False)])
def test_a_pose_is_current_up_to_one_frame_behind(frame: int, expected: bool) -> None:
    assert is_current(LOST, propagated(0.9, frame=frame), CONFIG) is expected


def test_storms_rule_takes_whatever_was_registered() -> None:
    everything = replace(CONFIG, accepts="all")
    assert is_worth_propagating(PoseFound(attempt=1, frame=0, score=0.0), everything)
    assert accepts_propagated_pose(NEVER_TRACKED, propagated(0.0), everything)
    assert accepts_propagated_pose(LOST, propagated(0.0, 0.0), everything)
