"""The depth sensor: what geometry says a stereo camera cannot see, and how its noise grows."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.synthetic.sensor import DepthSensor, random_sensor

FX = 600.0
PERFECT = DepthSensor(
    noise_per_m=0.0,
    smoothing_px=0.0,
    edge_jitter_px=0.0,
    flying=0.0,
    shadow_baseline_m=0.0,
    grazing_holes=False,
    dark_level=0.0,
    dropout=0.0,
)


def _measure(sensor: DepthSensor, depth: np.ndarray, rng: np.random.Generator, luminance: float = 0.5) -> np.ndarray:
    return sensor.measure(depth, np.full((*depth.shape, 3), luminance, np.float32), FX, rng)


def _with(**changes: float | bool) -> DepthSensor:
    from dataclasses import replace

    return replace(PERFECT, **changes)  # type: ignore[arg-type]


def test_a_perfect_sensor_only_rounds_to_millimetres(rng: np.random.Generator) -> None:
    depth = rng.uniform(0.3, 2.0, (50, 60)).astype(np.float32)
    depth[10:20] = 0.0
    measured = _measure(PERFECT, depth, rng)
    assert measured.dtype == np.float32
    np.testing.assert_array_equal(measured[10:20], 0.0)
    np.testing.assert_allclose(measured, depth, atol=0.0005001)


@pytest.mark.parametrize("baseline_m", [0.05, -0.05])
def test_the_shadow_has_the_width_and_side_of_the_baseline(rng: np.random.Generator, baseline_m: float) -> None:
    """A second eye to the right does not see a strip left of a near thing, fx * B * (1/z - 1/Z) pixels wide."""
    depth = np.full((40, 200), 1.0, dtype=np.float32)
    depth[:, 90:120] = 0.5
    lost = _measure(_with(shadow_baseline_m=baseline_m), depth, rng) == 0.0
    width = round(FX * 0.05 * (1 / 0.5 - 1 / 1.0))
    expected = np.zeros_like(lost)
    if baseline_m > 0.0:
        expected[:, 90 - width : 90] = True
    else:
        expected[:, 120 : 120 + width] = True
    assert np.abs(lost.sum(axis=1) - width).max() <= 1
    assert (lost & ~expected).sum(axis=1).max() <= 1


def test_noise_grows_with_the_square_of_the_distance(rng: np.random.Generator) -> None:
    sensor = _with(noise_per_m=0.01, white_share=0.5, step_m=1e-6)
    near, far = ((_measure(sensor, np.full((200, 200), z, np.float32), rng) - z).std() for z in (0.5, 1.0))
    assert far / near == pytest.approx(4.0, rel=0.15)
    assert far == pytest.approx(0.01 * np.hypot(0.5, 0.5), rel=0.2)  # two independent halves


def test_bias_scales_the_depth(rng: np.random.Generator) -> None:
    measured = _measure(_with(bias=0.01, step_m=1e-6), np.full((20, 20), 0.8, np.float32), rng)
    np.testing.assert_allclose(measured, 0.808, atol=1e-5)


def test_grazing_surfaces_are_lost_and_facing_ones_kept(rng: np.random.Generator) -> None:
    u = np.arange(200, dtype=np.float32)
    for slope, most_lost in ((0.5, False), (9.0, True)):
        depth = np.tile(1.0 / (1.0 / 0.6 - slope * (u - 100) / FX / 0.6), (100, 1)).astype(np.float32)
        depth = depth[:, 95:106] if slope > 1 else depth[:, 60:140]
        lost = (_measure(_with(grazing_holes=True), depth, rng)[2:-2, 2:-2] == 0.0).mean()
        assert lost > 0.6 if most_lost else lost < 0.02


def test_smoothing_keeps_planes_and_flying_pixels_lie_between_surfaces(rng: np.random.Generator) -> None:
    depth = np.full((60, 80), 1.0, dtype=np.float32)
    depth[:, 40:] = 0.6
    measured = _measure(_with(smoothing_px=1.5, flying=1.0), depth, rng)
    np.testing.assert_allclose(measured[:, :30], 1.0, atol=1e-6)
    np.testing.assert_allclose(measured[:, 50:], 0.6, atol=1e-6)
    between = measured[:, 36:44]
    assert ((between > 0.65) & (between < 0.95)).mean() > 0.2
    assert between.min() >= 0.599


def test_edges_move_but_values_stay_measured_ones(rng: np.random.Generator) -> None:
    depth = np.full((60, 80), 1.0, dtype=np.float32)
    depth[20:40, 30:50] = 0.6
    measured = _measure(_with(edge_jitter_px=1.5), depth, rng)
    assert set(np.unique(measured)) <= {np.float32(1.0), np.float32(0.6)}
    assert (measured != depth).any()
    assert (measured != depth)[:12].sum() == 0  # far from the outline nothing changes


def test_dark_things_and_dropout_lose_their_share(rng: np.random.Generator) -> None:
    depth = np.full((200, 200), 0.8, dtype=np.float32)
    assert (_measure(_with(dark_level=0.1), depth, rng, luminance=0.02) == 0.0).mean() > 0.2
    assert (_measure(_with(dark_level=0.1), depth, rng, luminance=0.5) == 0.0).mean() == 0.0
    assert (_measure(_with(dropout=0.05), depth, rng) == 0.0).mean() == pytest.approx(0.05, abs=0.02)


def test_drawn_sensors_measure(rng: np.random.Generator) -> None:
    depth = np.full((64, 64), 0.7, dtype=np.float32)
    depth[20:40, 20:40] = 0.5
    for _ in range(20):
        measured = _measure(random_sensor(rng), depth, rng)
        assert np.isfinite(measured).all()
        assert measured.min() >= 0.0
        seen = measured > 0.0
        assert seen.mean() > 0.5
        assert np.median(np.abs(measured - depth)[seen]) < 0.01


def test_fattening_grows_near_things_by_its_reach(rng: np.random.Generator) -> None:
    depth = np.full((60, 80), 1.0, dtype=np.float32)
    depth[20:40, 30:50] = 0.6
    depth[:, :5] = 0.0
    measured = _measure(_with(fattening_px=2), depth, rng)
    grown = np.zeros_like(depth, dtype=bool)
    grown[18:42, 28:52] = True
    np.testing.assert_array_equal(measured == np.float32(0.6), grown)
    np.testing.assert_array_equal(measured[:, :5], 0.0)


def test_small_steps_melt_and_large_ones_stay(rng: np.random.Generator) -> None:
    """A step of 3 % is smoothed over when steps up to 4 % are; one of 40 % never."""
    for near, melts in ((0.97, True), (0.6, False)):
        depth = np.full((60, 80), 1.0, dtype=np.float32)
        depth[:, 40:] = near
        measured = _measure(_with(smoothing_px=3.0, smoothed_step=0.04, step_m=1e-6), depth, rng)
        between = (measured > near + 0.2 * (1 - near)) & (measured < near + 0.8 * (1 - near))
        assert between.any() == melts
