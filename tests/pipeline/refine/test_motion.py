"""Starts of a refinement: the last motion continued, and turns about the object's axes."""

from __future__ import annotations

import numpy as np

from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.pipeline.refine.motion import MOTION_START_COUNT, TURN_COUNT, continued, motion_starts, turned
from tests.kernels.tracking import T_TRUE, moved


def test_motion_starts_extrapolate():
    before = make_T(exp_so3([0.0, 0.0, 0.1]), [0.0, 0.0, 0.5])
    last = make_T(exp_so3([0.0, 0.0, 0.3]), [0.01, 0.0, 0.5])
    expected = [make_T(exp_so3([0.0, 0.0, w]), [x, 0.0, 0.5]) for w, x in ((0.3, 0.01), (0.4, 0.015), (0.5, 0.02))]
    np.testing.assert_allclose(motion_starts(last, before), expected, atol=1e-12)


def test_turned_poses_turn_about_the_objects_axes():
    poses = turned(T_TRUE, 25.0)
    np.testing.assert_allclose(poses[:, :3, 3], np.tile(T_TRUE[:3, 3], (6, 1)))
    np.testing.assert_allclose(rotation_angle(poses[:, :3, :3], T_TRUE[:3, :3]), np.deg2rad(25.0))
    for axis in range(3):  # the axis itself stays where it was
        np.testing.assert_allclose(poses[[axis, axis + 3], :3, axis], np.tile(T_TRUE[:3, axis], (2, 1)), atol=1e-12)


def test_counts_are_those_of_the_poses() -> None:
    assert len(motion_starts(T_TRUE, T_TRUE)) == MOTION_START_COUNT
    assert len(turned(T_TRUE, 10.0)) == TURN_COUNT


def test_the_motion_continued_is_the_last_of_the_starts(rng: np.random.Generator) -> None:
    for angle_deg in (0.0, 3.0, 40.0):
        last = moved(T_TRUE, angle_deg, 0.02, rng)
        np.testing.assert_allclose(continued(last, T_TRUE), motion_starts(last, T_TRUE)[-1], atol=1e-12)
