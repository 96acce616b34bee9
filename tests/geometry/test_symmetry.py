"""Symmetry motions and the choice among poses that cannot be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry import se3
from storm_edge.geometry.symmetry import ContinuousSymmetry, nearest_symmetric, symmetry_transforms


def test_identity_comes_first_and_alone() -> None:
    np.testing.assert_array_equal(symmetry_transforms(), np.eye(4)[None])


def test_half_turn_and_full_turn_do_not_multiply() -> None:
    """A half turn about z is already among the 72 steps of a revolution about z."""
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert len(symmetry_transforms([half_turn])) == 2
    assert len(symmetry_transforms([half_turn], [ContinuousSymmetry(axis=(0, 0, 1))])) == 72


def test_revolution_turns_about_its_offset() -> None:
    motions = symmetry_transforms(continuous=[ContinuousSymmetry(axis=(0, 0, 2), offset_m=(0.1, 0, 0))], step_deg=90)
    np.testing.assert_allclose(se3.transform(motions[1], [[0.1, 0, 0.5]]), [[0.1, 0, 0.5]], atol=1e-12)
    np.testing.assert_allclose(se3.transform(motions[1], [[0.2, 0, 0]]), [[0.1, 0.1, 0]], atol=1e-12)


def test_nearest_symmetric_does_not_flip(rng: np.random.Generator) -> None:
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    symmetries = symmetry_transforms([half_turn])
    last = se3.make_T(se3.random_rotation(rng), [0.1, 0.0, 0.8])
    now = last @ se3.make_T(se3.exp_so3([0.05, 0.0, 0.1]), [0, 0, 0])
    np.testing.assert_allclose(nearest_symmetric(now @ half_turn, last, symmetries), now, atol=1e-12)


@pytest.mark.parametrize("angle_deg", [0.0, 33.0, 181.0])
def test_nearest_symmetric_about_an_axis_undoes_any_turn(angle_deg: float) -> None:
    symmetries = symmetry_transforms(continuous=[ContinuousSymmetry(axis=(0, 0, 1))])
    last = np.eye(4)
    turned = se3.make_T(se3.exp_so3([0, 0, np.deg2rad(angle_deg)]), np.zeros(3))
    chosen = nearest_symmetric(turned, last, symmetries)
    assert np.rad2deg(se3.rotation_angle(chosen[:3, :3], np.eye(3))) <= 2.5 + 1e-9  # half a 5 degree step
