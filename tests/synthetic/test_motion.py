"""Motion: rigid, within its limits, on its leash; cameras look where they should."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.se3 import is_rigid, make_T, random_rotation, rotation_angle, transform
from storm_edge.synthetic.motion import MotionConfig, camera_at, orbiting_camera, random_motion

RATE_HZ = 30.0
CALM = MotionConfig(tremor_m=0.0, tremor_rad=0.0)


def test_hands_keep_to_their_limits_and_their_leash(rng: np.random.Generator) -> None:
    config = MotionConfig(tremor_m=0.0, tremor_rad=0.0, max_speed_m_s=0.3, max_turn_rad_s=2.0)
    for _ in range(5):
        start = make_T(random_rotation(rng), [0.1, 0.2, 0.3])
        poses = random_motion(rng, start, 300, rate_hz=RATE_HZ, config=config)
        assert all(is_rigid(T, tolerance=1e-9) for T in poses)
        np.testing.assert_allclose(poses[0], start)
        speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * RATE_HZ
        turn = rotation_angle(poses[1:, :3, :3], poses[:-1, :3, :3]) * RATE_HZ
        assert speed.max() <= 0.3 + 1e-9
        assert turn.max() <= 2.0 + 1e-6
        assert speed.mean() > 0.01
        assert turn.mean() > 0.1
        away = np.linalg.norm(poses[:, :3, 3] - start[:3, 3], axis=1)
        assert away.max() < 1.6 * config.leash_m


def test_motion_is_smooth_without_tremor(rng: np.random.Generator) -> None:
    poses = random_motion(rng, np.eye(4), 200, rate_hz=RATE_HZ, config=MotionConfig(tremor_m=0.0, burst_share=0.0))
    velocity = np.diff(poses[:, :3, 3], axis=0) * RATE_HZ
    assert np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() < 0.15  # m/s from frame to frame


def test_a_camera_looks_at_its_point_with_the_horizon_level() -> None:
    T = camera_at(np.array([0.3, -0.2, 0.1]), azimuth=0.7, elevation=0.5, distance_m=0.8)
    assert is_rigid(T)
    np.testing.assert_allclose(transform(T, np.array([[0.3, -0.2, 0.1]]))[0], [0.0, 0.0, 0.8], atol=1e-12)
    up = T[:3, 2]  # the world's z axis in the camera
    assert up[0] == pytest.approx(0.0, abs=1e-12)
    assert up[1] == pytest.approx(-np.cos(0.5))  # y points down in the image


def test_an_orbit_keeps_its_point_in_view(rng: np.random.Generator) -> None:
    point = np.array([0.1, 0.0, 0.05])
    poses = orbiting_camera(rng, point, 0.7, 200, rate_hz=RATE_HZ, config=CALM)
    seen = np.stack([transform(T, point[None])[0] for T in poses])
    np.testing.assert_allclose(seen[:, :2], 0.0, atol=1e-9)
    assert 0.7 * np.exp(-0.25) - 1e-9 <= seen[:, 2].min()
    assert seen[:, 2].max() <= 0.7 * np.exp(0.25) + 1e-9
    assert all(is_rigid(T) for T in poses)
