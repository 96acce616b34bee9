"""How things and cameras move: smooth random paths with speed limits, bursts and a hand's tremor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from storm_edge.geometry.se3 import exp_so3, make_T

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """How fast and how restless."""

    speed_m_s: float = 0.15
    """Typical speed [m/s]."""
    turn_rad_s: float = 0.8
    """Typical angular speed [rad/s]."""
    max_speed_m_s: float = 0.6
    """Largest speed, bursts included [m/s]."""
    max_turn_rad_s: float = 4.0
    """Largest angular speed, bursts included [rad/s]; 4 rad/s is 7.6 degrees per frame at 30 Hz."""
    burst_share: float = 0.15
    """Part of the time spent in bursts of three times the speed."""
    leash_m: float = 0.12
    """Distance at which the path is pulled back to its start [m]."""
    tremor_m: float = 0.0004
    """Standard deviation of a hand's tremor [m]; in angle it is `tremor_rad`."""
    tremor_rad: float = 0.003
    """Standard deviation of the tremor's rotation [rad]."""


def smooth_velocity(rng: np.random.Generator, count: int, rate_hz: float, channels: int) -> Float64:
    """Smooth random signal ``(count, channels)`` of about unit vector length, changing within about half a second."""
    seconds = count / rate_hz
    knots = np.arange(-1.0, seconds + 2.0, 0.4)
    signal = CubicSpline(knots, rng.standard_normal((len(knots), channels)))(np.arange(count) / rate_hz)
    return np.asarray(signal / np.sqrt(channels))


def random_motion(
    rng: np.random.Generator, T_start: Float64, count: int, *, rate_hz: float, config: MotionConfig
) -> Float64:
    """Poses ``(count, 4, 4)`` of something that a hand moves, beginning near ``T_start (4, 4)``.

    The tremor is added to the path, not integrated, so it never carries the thing away.
    """
    dt = 1.0 / rate_hz
    bursts = _bursts(rng, count, rate_hz, config.burst_share)[:, None]
    linear = smooth_velocity(rng, count, rate_hz, 3) * config.speed_m_s * bursts
    angular = smooth_velocity(rng, count, rate_hz, 3) * config.turn_rad_s * bursts
    angular = _limited(angular, config.max_turn_rad_s)
    R, t = T_start[:3, :3], T_start[:3, 3].copy()
    poses = np.empty((count, 4, 4))
    for i in range(count):
        shake = exp_so3(rng.normal(0.0, config.tremor_rad, 3))
        poses[i] = make_T(shake @ R, t + rng.normal(0.0, config.tremor_m, 3))
        away = t - T_start[:3, 3]
        # A spring that is slack near the start and beats the walk at the leash.
        pull = -away * (np.linalg.norm(away) / config.leash_m) * 2.0 * config.speed_m_s / config.leash_m
        t = t + _limited(linear[i] + pull, config.max_speed_m_s) * dt
        R = exp_so3(angular[i] * dt) @ R
    return poses


def orbiting_camera(
    rng: np.random.Generator,
    look_at: Float64,
    distance_m: float,
    count: int,
    *,
    rate_hz: float,
    config: MotionConfig,
) -> Float64:
    """World to camera ``T_cam_world (count, 4, 4)`` of a hand-held camera that circles a point of a z-up world.

    Args:
        rng: Source of randomness.
        look_at: The point [m] ``(3,)``.
        distance_m: Mean distance to it [m].
        count: Number of poses.
        rate_hz: Poses per second [Hz].
        config: How fast; the angular speed is that of the orbit.
    """
    dt = 1.0 / rate_hz
    rates = smooth_velocity(rng, count, rate_hz, 4)
    bursts = _bursts(rng, count, rate_hz, config.burst_share)
    turn = np.clip(rates[:, 0] * config.turn_rad_s * bursts, -config.max_turn_rad_s, config.max_turn_rad_s)
    azimuth = rng.uniform(0.0, 2.0 * np.pi) + np.cumsum(turn) * dt
    elevation = np.clip(rng.uniform(0.5, 1.0) + 0.3 * np.cumsum(rates[:, 1]) * dt, 0.25, 1.3)
    distance = distance_m * np.exp(np.clip(0.3 * np.cumsum(rates[:, 2]) * dt, -0.25, 0.25))
    roll = 0.1 * rates[:, 3]
    poses = np.empty((count, 4, 4))
    for i in range(count):
        shake = exp_so3(rng.normal(0.0, config.tremor_rad, 3))
        aim = look_at + rng.normal(0.0, config.tremor_m, 3)
        poses[i] = camera_at(aim, float(azimuth[i]), float(elevation[i]), float(distance[i]), roll=float(roll[i]))
        poses[i, :3, :3] = shake @ poses[i, :3, :3]
    return poses


def camera_at(look_at: Float64, azimuth: float, elevation: float, distance_m: float, *, roll: float = 0.0) -> Float64:
    """``T_cam_world (4, 4)`` of a camera that looks at a point of a z-up world from the given side [rad, m]."""
    outward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    x = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    y = np.cross(-outward, x)  # down in the image
    R = exp_so3([0.0, 0.0, roll]) @ np.stack([x, y, -outward])
    return make_T(R, -R @ (look_at + distance_m * outward))


def _bursts(rng: np.random.Generator, count: int, rate_hz: float, share: float) -> Float64:
    """Factor 1, or 3 during bursts of about a quarter of a second; ``(count,)``."""
    factor = np.ones(count)
    length = max(2, round(0.25 * rate_hz))
    for _ in range(round(share * count / length)):
        start = int(rng.integers(0, max(1, count - length)))
        factor[start : start + length] = 3.0
    return factor


def _limited(vectors: Float64, longest: float) -> Float64:
    """Vectors ``(..., 3)`` shortened to ``longest`` where they are longer."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors * np.minimum(1.0, longest / np.maximum(length, 1e-12)))
