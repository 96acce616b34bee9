"""Rigid motions against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from storm_edge.errors import InputError, UnitError
from storm_edge.geometry import se3


def test_exp_is_the_matrix_exponential(rng: np.random.Generator) -> None:
    for w in rng.normal(size=(20, 3)) * rng.uniform(0.0, 3.0, size=(20, 1)):
        np.testing.assert_allclose(se3.exp_so3(w), expm(se3.hat(w)), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-6, 1e-3, 1.0, np.pi - 1e-6, np.pi])
def test_log_undoes_exp(angle: float, rng: np.random.Generator) -> None:
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    w = se3.log_so3(se3.exp_so3(angle * axis))
    assert np.linalg.norm(w) == pytest.approx(angle, abs=1e-9)
    # At exactly half a turn both signs of the axis are right.
    np.testing.assert_allclose(se3.exp_so3(w), se3.exp_so3(angle * axis), atol=1e-8)


def test_invert_cancels(rng: np.random.Generator) -> None:
    T = se3.make_T(np.stack([se3.random_rotation(rng) for _ in range(5)]), rng.normal(size=(5, 3)))
    np.testing.assert_allclose(T @ se3.invert(T), np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-12)


def test_transform_moves_points() -> None:
    quarter_turn_about_z = se3.make_T([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [0, 0, 2])
    np.testing.assert_allclose(se3.transform(quarter_turn_about_z, [[1, 0, 0]]), [[0, 1, 2]])


@pytest.mark.parametrize("angle", [1e-8, 1e-4, 0.5, 2.0, np.pi])
def test_rotation_angle_is_exact_even_when_tiny(angle: float, rng: np.random.Generator) -> None:
    R = se3.random_rotation(rng)
    assert se3.rotation_angle(R @ se3.exp_so3([0, 0, angle]), R) == pytest.approx(angle, rel=1e-6)


def test_random_rotations_are_uniform(rng: np.random.Generator) -> None:
    """The angle of a uniform rotation has mean pi/2 + 2/pi; 4000 draws have a standard error of 0.01."""
    angles = [np.linalg.norm(se3.log_so3(se3.random_rotation(rng))) for _ in range(4000)]
    assert np.mean(angles) == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.04)


def test_is_rigid_refuses_what_is_not() -> None:
    assert se3.is_rigid(np.eye(4))
    assert not se3.is_rigid(np.diag([1.0, 1.0, -1.0, 1.0]))  # a mirror
    assert not se3.is_rigid(np.diag([2.0, 2.0, 2.0, 1.0]))
    assert not se3.is_rigid(np.full((4, 4), np.nan))


@pytest.mark.parametrize(
    ("T", "words"),
    [
        (np.eye(3), r"got shape \(3, 3\), expected \(4, 4\)"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "no rigid motion"),
        (np.diag([2.0, 2.0, 2.0, 1.0]), "no rigid motion"),
    ],
)
def test_what_is_no_pose_is_refused(T: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        se3.check_pose(T, what="pose of the mug")
    assert str(caught.value).startswith("pose of the mug: got")


def test_a_pose_in_millimetres_is_refused() -> None:
    with pytest.raises(
        UnitError, match=r"got a translation of 600, expected at most 100 m; .*divide millimetres by 1000"
    ):
        se3.check_pose(se3.make_T(np.eye(3), [0.0, 0.0, 600.0]))
    T = se3.make_T(np.eye(3), [0.0, 0.0, 0.6])
    np.testing.assert_array_equal(se3.check_pose(T.tolist()), T)
