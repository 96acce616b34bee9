"""The verdict: what speaks for the object raises it, and nobody is sure enough to decide alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storm_edge.perception.evidence import Evidence, Opinion, verdict

SEEN = Evidence(
    visible=0.9, pattern=0.3, occluded=0.1, colour=0.5, imbalance=0.1, residual=0.1, contour=0.3, depth=0.15
)
"""An object as it is usually seen where it is."""
ELSEWHERE = Evidence(
    visible=0.5, pattern=0.0, occluded=0.3, colour=-1.5, imbalance=0.4, residual=0.2, contour=0.8, depth=0.5
)
"""Another object at which it was registered."""


@pytest.mark.parametrize("opinion", [None, Opinion(present=0.5, marked=0.5)])
def test_the_right_place_and_a_wrong_one_are_told_apart(opinion: Opinion | None) -> None:
    assert verdict(SEEN, opinion) > 0.6
    assert verdict(ELSEWHERE, opinion) < 0.1


def test_the_networks_opinion_counts() -> None:
    doubtful = replace(SEEN, contour=0.6)
    against, undecided, for_it = (verdict(doubtful, Opinion(present=p, marked=p)) for p in (0.1, 0.5, 0.9))
    assert against < undecided < for_it


def test_a_network_that_is_sure_does_not_decide_alone() -> None:
    assert verdict(ELSEWHERE, Opinion(present=1.0, marked=1.0)) < 0.5
    for worse in ({"visible": 0.4}, {"contour": 0.9}, {"depth": 0.6}, {"imbalance": 0.8}):
        assert verdict(replace(SEEN, **worse), Opinion(present=0.9, marked=0.9)) < verdict(
            SEEN, Opinion(present=0.9, marked=0.9)
        ), worse
