"""Sums, solution and pose step against NumPy, and against a problem with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.geometry.se3 import exp_so3, is_rigid, make_T, rotation_angle
from storm_edge.geometry.viewsphere import icosphere, look_at_origin
from storm_edge.kernels import gauss_newton as kernels
from storm_edge.kernels.device import require_device
from storm_edge.kernels.reference import gauss_newton as reference
from tests.kernels.tracking import moved

SUM_TOLERANCE = 3e-6  # relative; worst seen 4e-7 on an x86-64 CPU
POSE_TOLERANCE = 2e-6  # worst seen 2e-7 on an x86-64 CPU


def launch_step(rows, T, *, tikhonov=(100.0, 3000.0), directions=None, device="cpu"):
    """Sums, new poses and views of rows ``(N, P, 8)`` and poses ``(N, 4, 4)``."""
    device = require_device(device)
    directions = icosphere(1) if directions is None else directions
    rows = wp.array(rows, dtype=wp.float32, device=device)
    sums = wp.zeros((len(T), 8, 8), dtype=wp.float32, device=device)
    poses = wp.array(np.asarray(T, dtype=np.float32), dtype=wp.mat44, device=device)
    views = wp.zeros(len(T), dtype=wp.int32, device=device)
    on_device = wp.array(directions.astype(np.float32), dtype=wp.vec3, device=device)
    wp.launch(kernels.sum_rows_kernel, dim=(len(T), 8), inputs=[rows, rows.shape[1]], outputs=[sums], device=device)
    wp.launch(
        kernels.step_kernel, dim=len(T), inputs=[sums, *tikhonov, on_device], outputs=[poses, views], device=device
    )
    return sums.numpy(), poses.numpy(), views.numpy()


def random_rows(rng, count=3, points=50):
    rows = rng.normal(size=(count, points, 8)).astype(np.float32)
    rows[..., :3] *= 20.0
    rows[..., 3:6] *= 300.0
    rows[..., 7] = 1.0
    rows[:, ::7] = 0.0
    return rows


def test_sums_and_steps_match_the_reference(rng):
    rows, T = random_rows(rng), np.stack([moved(np.eye(4), 50.0, 0.5, rng) for _ in range(3)])
    sums, poses, _ = launch_step(rows, T)
    expected = reference.sum_rows(rows)
    np.testing.assert_allclose(sums, expected, rtol=SUM_TOLERANCE, atol=SUM_TOLERANCE * np.abs(expected).max())
    stepped = reference.take_step(T, expected, tikhonov_rotation=100.0, tikhonov_translation=3000.0)
    np.testing.assert_allclose(poses, stepped, atol=POSE_TOLERANCE)


def test_rows_that_measure_a_step_are_solved_for_it(rng):
    """Residuals linear in (w, v) by construction: one unregularised step goes exactly there."""
    w, v = np.array([0.3, -0.2, 0.1]), np.array([0.02, 0.01, -0.03])
    J = rng.normal(size=(30, 6))
    rows = np.concatenate([J, -(J @ np.concatenate([w, v]))[:, None], np.ones((30, 1))], axis=1)
    T = moved(np.eye(4), 40.0, 0.5, rng)
    _, poses, _ = launch_step(rows[None], T[None], tikhonov=(0.0, 0.0))
    expected = make_T(exp_so3(w) @ T[:3, :3], T[:3, 3] + v)
    np.testing.assert_allclose(poses[0], expected, atol=POSE_TOLERANCE)


def test_without_rows_the_pose_stays(rng):
    T = moved(np.eye(4), 40.0, 0.5, rng)
    for tikhonov in ((100.0, 3000.0), (0.0, 0.0)):  # the second is singular
        _, poses, _ = launch_step(np.zeros((1, 10, 8)), T[None], tikhonov=tikhonov)
        np.testing.assert_allclose(poses[0], T, atol=POSE_TOLERANCE)


def test_tikhonov_shortens_the_step(rng):
    rows, T = random_rows(rng, count=1), np.eye(4)[None]
    turns = []
    for strength in (0.0, 1e4, 1e6):
        _, poses, _ = launch_step(rows, T, tikhonov=(strength, 0.0))
        turns.append(float(rotation_angle(poses[0, :3, :3], np.eye(3))))
    assert turns[0] > turns[1] > turns[2]


def test_rotations_stay_rotations_over_thousands_of_steps(rng):
    T = moved(np.eye(4), 40.0, 0.5, rng)[None]
    rows = random_rows(rng, count=1)
    for _ in range(2000):
        _, T, _ = launch_step(rows, T)
    assert is_rigid(T[0], tolerance=1e-5)


def test_the_closest_view_is_the_one_the_camera_is_at(rng):
    directions = icosphere(1)
    T = make_T(look_at_origin(directions), [0.0, 0.0, 0.7])
    T = np.stack([moved(pose, 3.0, 0.005, rng) for pose in T])
    _, _, views = launch_step(np.zeros((len(T), 1, 8)), T)
    np.testing.assert_array_equal(views, np.arange(len(T)))
    assert all(reference.closest_view(pose, directions) == k for k, pose in enumerate(T))


@pytest.mark.gpu
def test_steps_match_the_reference_on_cuda(rng, cuda):
    rows, T = random_rows(rng), np.stack([moved(np.eye(4), 50.0, 0.5, rng) for _ in range(3)])
    _, poses, _ = launch_step(rows, T, device=cuda)
    stepped = reference.take_step(T, reference.sum_rows(rows), tikhonov_rotation=100.0, tikhonov_translation=3000.0)
    np.testing.assert_allclose(poses, stepped, atol=POSE_TOLERANCE)
