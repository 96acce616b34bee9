"""The verdict on a recording, of poses whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.mild.verdict import Judge, Said, Shares, Truth, Verdict
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T

LENGTH_M, WIDTH_M = 0.2, 0.02
CARD = make_mesh(
    np.array([[x, y, 0.0] for y in (-0.5, 0.5) for x in (-0.5, 0.5)]) * [LENGTH_M, WIDTH_M, 1.0],
    np.array([[0, 1, 2], [1, 3, 2]]),
)
TRUTH = make_T(np.eye(3), [0.0, 0.0, 0.6])
TURNED = make_T(exp_so3([0.0, 0.0, np.pi]), [0.0, 0.0, 0.6])
ELSEWHERE = make_T(np.eye(3), [0.0, 0.1, 0.6])


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(CARD, LENGTH_M, is_symmetric=False)


def of_frames(judge: Judge, poses: list[np.ndarray | None], *, is_tracking: bool = True) -> Shares:
    said = {i: Said(T_cam_obj=T, is_tracking=is_tracking) for i, T in enumerate(poses)}
    return judge.shares({i: Truth(T_cam_obj=TRUTH) for i in range(len(poses))}, said)


def test_errors_are_those_of_the_geometry(judge: Judge) -> None:
    add_s, add = judge.errors_m(TRUTH, TURNED)
    assert add == pytest.approx(LENGTH_M / 2.0, rel=0.03)  # turned by half, a point moves by twice its distance
    assert add_s < 0.1 * WIDTH_M  # the card lies on itself
    assert judge.errors_m(TRUTH, ELSEWHERE)[1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("poses", "verdict"),
    [
        ([TRUTH] * 9 + [None], Verdict.RIGHT),
        ([TRUTH] * 8 + [None] * 2, Verdict.MISSED),
        ([TRUTH] * 9 + [TURNED], Verdict.TURNED),
        ([TRUTH] * 9 + [ELSEWHERE], Verdict.FALSE),
        ([TURNED] * 5 + [ELSEWHERE] * 5, Verdict.FALSE),
        ([None], Verdict.MISSED),
        ([TRUTH, TRUTH, None], Verdict.MISSED),  # of a few frames each counts
        ([TRUTH], Verdict.RIGHT),
    ],
)
def test_one_word_for_all_frames(judge: Judge, poses: list[np.ndarray | None], verdict: Verdict) -> None:
    assert of_frames(judge, poses).verdict is verdict


def test_a_doubted_pose_claims_nothing(judge: Judge) -> None:
    assert of_frames(judge, [TURNED] * 10, is_tracking=False).verdict is Verdict.RIGHT
    assert of_frames(judge, [ELSEWHERE] * 10, is_tracking=False).verdict is Verdict.MISSED


def test_a_symmetric_object_cannot_be_turned() -> None:
    assert of_frames(Judge(CARD, LENGTH_M, is_symmetric=True), [TURNED] * 10).verdict is Verdict.RIGHT


def test_frames_without_the_object_and_with_poor_labels(judge: Judge) -> None:
    truths = {0: Truth(T_cam_obj=TRUTH), 1: Truth(T_cam_obj=None), 2: Truth(T_cam_obj=TRUTH, is_judged=False)}
    said = {i: Said(T_cam_obj=T, is_tracking=True) for i, T in enumerate([TRUTH, TRUTH, ELSEWHERE])}
    shares = judge.shares(truths, said)
    assert (shares.judged, shares.right, shares.posed) == (1, 1.0, 1.0)
    assert shares.false == pytest.approx(1 / 3, abs=1e-3)  # believed where it is not
    assert judge.shares(truths, {0: said[0]}).verdict is Verdict.RIGHT  # frames that were passed over
