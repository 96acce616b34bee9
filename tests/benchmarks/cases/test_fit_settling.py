"""The regression behind the choice among poses that were found in one image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cases.fit_settling import (
    NAMES,
    Question,
    fit_weights,
    is_answered,
    left_out_weights,
    questions_of,
    summary,
)
from storm_edge.kernels.renderer import render
from storm_edge.pipeline.side.config import SettleWeights
from tests.pipeline.side.sides import K, bundle_of, marked_box, picture, pose

TRUE = np.array([3.0, 0.0, 6.0])


def made_up_question(number: int, terms: np.ndarray, is_right: np.ndarray) -> Question:
    return Question(
        picture=number, kind="made up", has_mask=True, terms=terms, is_right=is_right, found=len(is_right)
    )


def made_up(count: int = 900) -> list[Question]:
    """Pictures of four poses, one of which is right with the share that three terms and `TRUE` give it."""
    rng = np.random.default_rng(0)
    questions = []
    for picture_number in range(count):
        terms = rng.random((4, 3))
        share = np.exp(-terms @ TRUE)
        right = rng.choice(4, p=share / share.sum())
        questions.append(
            Question(
                picture=picture_number,
                kind="made up",
                has_mask=True,
                terms=terms,
                is_right=np.arange(4) == right,
                found=4,
            )
        )
    return questions


def test_the_fit_finds_the_weights_that_made_the_shares() -> None:
    """The ridge shrinks them by a few hundredths; none is negative."""
    weights = fit_weights(made_up())
    np.testing.assert_allclose(weights, TRUE, rtol=0.15, atol=0.3)
    assert (weights >= 0.0).all()


def test_real_pictures_count_as_much_as_made_up_ones() -> None:
    """Ten of one kind say what ten times as many of the other say of another term."""
    first, second = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([True, False])
    many = [made_up_question(number, first, second) for number in range(100)]
    few = [replace(made_up_question(number, first, ~second), kind="real") for number in range(10)]
    weights = fit_weights(many + few)
    assert weights[0] == pytest.approx(weights[1], abs=1e-3)
    alone = fit_weights(many)
    assert alone[0] > alone[1] + 1.0


def test_a_picture_is_judged_by_weights_of_others() -> None:
    """The answers of a tenth of the pictures are turned round: the weights that judge them stay the same."""
    questions = made_up(100)
    odd = [replace(q, is_right=q.is_right[::-1]) if q.picture % 10 == 3 else q for q in questions]
    before, after = left_out_weights(questions), left_out_weights(odd)
    np.testing.assert_allclose(before[3], after[3])
    assert not np.allclose(before[4], after[4])


def test_the_true_pose_counts_only_where_it_is_asked() -> None:
    question = Question(
        picture=0,
        kind="",
        has_mask=True,
        terms=np.array([[1.0], [2.0], [0.5]]),
        is_right=np.array([False, False, True]),
        found=2,
    )
    assert is_answered(question, np.ones(1), with_true=True)
    assert not is_answered(question, np.ones(1), with_true=False)


@pytest.mark.slow
def test_a_picture_is_compared_with_its_mask_and_without() -> None:
    box, right = marked_box(), pose(70.0)
    frame = picture(box, right)
    mask = np.asarray(render(box, right, K, (240, 320)).mask[0] > 0)
    bundle = bundle_of(box)
    bundle = replace(bundle, rotation_grid=np.stack([right[:3, :3], pose(250.0)[:3, :3]]))
    questions = questions_of(0, "made up", frame, bundle, right, mask)
    assert [q.has_mask for q in questions] == [True, False]
    for question in questions:
        assert question.terms.shape == (len(question.is_right), len(NAMES))
        assert question.found <= len(question.is_right) <= question.found + 1
        assert question.is_right.any()
        assert not question.is_right.all()
    found = summary([replace(questions[0], picture=k) for k in range(20)], SettleWeights())
    assert found["right by weights"]["made up"]["shipped"] == 20
