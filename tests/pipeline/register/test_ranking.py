"""What ScoreNet's logits say about the hypotheses of a set."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.pipeline.register.ranking import relative_probability


def test_logits_as_high_as_those_of_the_official_network_still_rank(rng: np.random.Generator) -> None:
    logits = rng.uniform(45.0, 49.0, 252).astype(np.float32)
    ranked = relative_probability(logits)
    assert np.array_equal(np.argsort(-ranked), np.argsort(-logits))
    assert ranked.max() == 1.0
    assert ranked.min() > 0.0


def test_only_differences_count() -> None:
    logits = np.array([-2.0, 0.0, 1.0])
    assert relative_probability(logits) == pytest.approx(relative_probability(logits + 47.0), abs=1e-12)
    assert relative_probability(np.array([3.0, 3.0 - np.log(3.0)])) == pytest.approx([1.0, 0.5])


def test_an_answer_that_is_no_number_is_the_last() -> None:
    lowest = np.float32(-1e9)  # what `PoseScorer` puts in its place
    assert relative_probability(np.array([lowest, 46.0, 47.0], dtype=np.float32)).argmin() == 0
    assert relative_probability(np.array([lowest, lowest])) == pytest.approx([1.0, 1.0])


def test_nothing_to_rank() -> None:
    assert relative_probability(np.zeros(0)).shape == (0,)
