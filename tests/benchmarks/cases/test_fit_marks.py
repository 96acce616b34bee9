"""The regression behind the score of the nano segmenter's candidates."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.cases.fit_marks import Marks, first_marks, fit_overlap, left_out
from benchmarks.record import RECORDS
from storm_edge.pipeline.segment.config import MarkWeights
from storm_edge.pipeline.segment.marks import FEATURES

TRUE = np.array([0.5, -1.0, 2.0])


def _marks(count: int = 3000) -> Marks:
    """Marks of 100 questions in 25 scenes whose overlap is a known function of three features."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, 3))
    question = np.arange(count) % 100
    return Marks(
        question=question,
        scene=question % 25,
        features=features,
        overlap=1.0 / (1.0 + np.exp(-(features @ TRUE - 0.5))),
    )


def test_the_fit_finds_the_weights_that_made_the_overlap() -> None:
    """The ridge shrinks them by a few hundredths."""
    weights, constant = fit_overlap(_marks())
    np.testing.assert_allclose(weights, TRUE, rtol=0.1)
    assert constant == pytest.approx(-0.5, abs=0.1)


def test_a_scene_is_judged_by_weights_of_others() -> None:
    """Overlaps of one scene are turned round: what is promised there stays what the others say."""
    marks = _marks()
    odd = marks.scene == 7
    turned = Marks(
        question=marks.question,
        scene=marks.scene,
        features=marks.features,
        overlap=np.where(odd, 1.0 - marks.overlap, marks.overlap),
    )
    np.testing.assert_allclose(left_out(turned)[odd], left_out(marks)[odd], atol=1e-9)


def test_the_first_mark_is_the_one_that_promises_most() -> None:
    marks = Marks(
        question=np.array([0, 0, 2]),
        scene=np.array([0, 0, 1]),
        features=np.zeros((3, 3)),
        overlap=np.array([0.9, 0.2, 0.6]),
    )
    said = np.array([0.3, 0.4, 0.1])
    assert first_marks(marks, said, np.array([0, 1, 2])) == {"overlap": 0.267, "on_object": 0.333}


def test_the_shipped_weights_are_those_of_the_record() -> None:
    record = json.loads((RECORDS / "fit_marks.json").read_text(encoding="utf-8"))["results"]
    shipped = MarkWeights()
    assert record["weights"] == {name: getattr(shipped, name) for name in FEATURES}
    assert record["constant"] == shipped.constant
