"""The pose update: direction and size by hand, inverse, kernel against reference."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.geometry.se3 import exp_so3, is_rigid, make_T, rotation_angle
from storm_edge.kernels import pose_update as kernels
from storm_edge.kernels.device import require_device
from storm_edge.kernels.pose_update import ROT_NORMALIZER_RAD
from storm_edge.kernels.reference.pose_update import update_poses, update_target
from tests.kernels.shapes import poses

TOLERANCE = 1e-6  # worst seen 1e-7 on an x86-64 CPU, float32 against float64


def on_device(T, trans, rot, diameter_m, device="cpu"):
    target = require_device(device)
    T_device = wp.array(T.astype(np.float32), dtype=wp.mat44f, device=target)
    kernels.update_poses(
        T_device,
        wp.array(trans.astype(np.float32), dtype=wp.vec3f, device=target),
        wp.array(rot.astype(np.float32), dtype=wp.vec3f, device=target),
        diameter_m=diameter_m,
        T_out=T_device,
        count=len(T),
    )
    return T_device.numpy()


def test_a_large_answer_turns_20_degrees_the_other_way():
    """rot = (0, 0, +large) turns by -20 deg about the camera's z; trans is in half diameters; the centre stays."""
    T = make_T(np.eye(3), [[0.1, 0.2, 0.6]])
    updated = update_poses(T, [[0.5, 0.0, -1.0]], [[0.0, 0.0, 50.0]], diameter_m=0.2)
    c, s = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    np.testing.assert_allclose(updated[0, :3, :3], [[c, s, 0], [-s, c, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(updated[0, :3, 3], [0.15, 0.2, 0.5], atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3, 0.0286, 0.0288, 1.0, 30.0])
def test_kernel_matches_the_reference(size, rng):
    """Also at both sides of the Taylor branch (0.01 rad is rot = 0.0287)."""
    T = poses(rng, 20)
    axis = rng.standard_normal((20, 3))
    rot = size * axis / np.linalg.norm(axis, axis=1, keepdims=True)
    trans = rng.uniform(-1, 1, (20, 3))
    updated = on_device(T, trans, rot, 0.15)
    np.testing.assert_allclose(updated, update_poses(T, trans, rot, diameter_m=0.15), atol=TOLERANCE)


def test_zero_answer_keeps_the_pose(rng):
    T = poses(rng, 5).astype(np.float32)
    np.testing.assert_array_equal(on_device(T, np.zeros((5, 3)), np.zeros((5, 3)), 0.2), T)


def test_target_leads_from_one_pose_to_the_other(rng):
    for _ in range(20):
        T_old = poses(rng, 1)[0]
        turn = exp_so3(rng.uniform(-0.15, 0.15, 3))
        T_new = make_T(turn @ T_old[:3, :3], T_old[:3, 3] + rng.uniform(-0.05, 0.05, 3))
        trans, wanted = update_target(T_old, T_new, diameter_m=0.2)
        assert np.abs(wanted).max() < 1.0
        reached = update_poses(T_old[None], trans[None], np.arctanh(wanted)[None], diameter_m=0.2)[0]
        np.testing.assert_allclose(reached, T_new, atol=1e-12)


def test_target_beyond_one_step_says_so():
    T = make_T(np.eye(3), [0.0, 0.0, 0.5])
    far = make_T(exp_so3([0.0, 0.0, 2 * ROT_NORMALIZER_RAD]), T[:3, 3])
    _, wanted = update_target(T, far, diameter_m=0.2)
    np.testing.assert_allclose(wanted, [0.0, 0.0, -2.0], atol=1e-9)


def test_many_updates_stay_rigid(rng):
    """100 steps in float32: still a rotation to 1e-5 (worst seen 3e-6 on an x86-64 CPU)."""
    T = poses(rng, 4)
    for _ in range(100):
        T = on_device(T, np.zeros((4, 3)), rng.normal(0, 1, (4, 3)), 0.2).astype(np.float64)
    assert all(is_rigid(pose, tolerance=1e-5) for pose in T)
    assert rotation_angle(T[0, :3, :3], T[1, :3, :3]) > 0.0


@pytest.mark.gpu
def test_cuda_updates_as_the_cpu_does(rng, cuda):
    T, trans, rot = poses(rng, 20), rng.uniform(-1, 1, (20, 3)), rng.normal(0, 1, (20, 3))
    np.testing.assert_allclose(on_device(T, trans, rot, 0.2, cuda), on_device(T, trans, rot, 0.2), atol=TOLERANCE)
