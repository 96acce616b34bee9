"""Which graphs of a bundle are its ScoreNet."""

from __future__ import annotations

import pytest

from storm_edge.engines.scorers import SPLIT, scorer_of, scores_lone_poses


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ([], set()),
        (["refine", "score_features"], set()),
        (["refine", "score_features", "score_attention"], {"score_features", "score_attention"}),
        (["score", "refine"], {"score"}),
    ],
)
def test_a_scorenet_is_complete_or_none(networks: list[str], expected: set[str]) -> None:
    assert scorer_of(networks) == expected


def test_our_scorenet_knows_single_poses_and_upstreams_ranks() -> None:
    assert scores_lone_poses("nano", SPLIT)
    assert not scores_lone_poses("full", SPLIT)
    assert not scores_lone_poses("nano", ["refine", "score_features"])
