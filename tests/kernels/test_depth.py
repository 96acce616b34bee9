"""Depth filter: rules by hand, and kernels against their reference."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.errors import InputError
from storm_edge.kernels.depth import UPSTREAM_FILTER, DepthFilter, DepthFilterBuffers
from storm_edge.kernels.device import require_device
from storm_edge.kernels.reference import depth as reference

TOLERANCE_M = 2e-6  # worst seen 2e-7 m on an x86-64 CPU


def to_device(array: np.ndarray, device: str = "cpu") -> wp.array:
    return wp.array(array, dtype=wp.float32, device=require_device(device))


def run_filter(depth, config=UPSTREAM_FILTER, window=None, device="cpu"):
    buffers = DepthFilterBuffers(*depth.shape, config, require_device(device))
    buffers.launch(to_device(depth, device), window)
    return buffers.filtered.numpy()


def noisy_scene(rng):
    """A slope with a step, holes, noise of the erosion's own size, and everything that is not a reading."""
    u = np.arange(50) + np.zeros((40, 1))
    depth = (0.5 + 0.0004 * u + 0.2 * (u > 25) + rng.normal(0, 0.0006, u.shape)).astype(np.float32)
    depth[rng.uniform(size=u.shape) < 0.2] = 0.0
    depth[3, 4:8] = [np.nan, np.inf, -1.0, 150.0]
    return depth


@pytest.mark.parametrize(
    "config",
    [
        UPSTREAM_FILTER,
        DepthFilter(
            erode_radius_px=1, erode_difference_m=0.002, erode_ratio=0.5, smooth_radius_px=1, smooth_gate_m=0.05
        ),
        DepthFilter(smooth_radius_px=0),
    ],
    ids=["upstream", "small", "erosion only"],
)
def test_filter_matches_the_reference(config, rng):
    depth = noisy_scene(rng)
    expected = reference.filter_depth(depth, config)
    assert (expected > 0).mean() > 0.2
    np.testing.assert_allclose(run_filter(depth, config), expected, atol=TOLERANCE_M)


def test_a_window_gives_what_the_whole_image_gives(rng):
    """Also where the window touches the border; outside it nothing is written."""
    depth = noisy_scene(rng)
    whole = run_filter(depth)
    for x, y, w, h in [(10, 8, 20, 15), (0, 0, 7, 9), (30, 25, 20, 15)]:
        part = run_filter(depth, window=(x, y, w, h))
        np.testing.assert_array_equal(part[y : y + h, x : x + w], whole[y : y + h, x : x + w])
        part[y : y + h, x : x + w] = 0.0
        assert not part.any()


def test_flat_depth_stays_and_a_hole_is_filled():
    depth = np.full((20, 20), 0.7, np.float32)
    depth[10, 10] = 0.0
    np.testing.assert_allclose(run_filter(depth), 0.7, atol=1e-6)


def test_a_lone_pixel_goes_and_a_straight_edge_stays():
    """Beside an edge at least 10 of 25 neighbours agree, at a corner 9: more than the 20 % that upstream asks for."""
    erode = DepthFilter(smooth_radius_px=0)
    lone = np.zeros((20, 20), np.float32)
    lone[10, 10] = 0.7
    assert not run_filter(lone, erode).any()
    corner = np.zeros((20, 20), np.float32)
    corner[10:, 10:] = 0.7
    np.testing.assert_array_equal(run_filter(corner, erode), corner)


def test_exactly_the_limit_is_kept():
    """20 of 25 disagree is 80 %, not more: the pixel stays; 21 and it goes."""
    erode = DepthFilter(smooth_radius_px=0)
    five = np.zeros((9, 9), np.float32)
    five[4, 2:7] = 0.7
    assert run_filter(five, erode)[4, 4] == np.float32(0.7)
    five[4, 2] = 0.0
    assert run_filter(five, erode)[4, 4] == 0.0


def test_smoothing_does_not_mix_two_surfaces():
    """On a 0.2 m step with an even split the mean is near neither side: no value in between is invented."""
    depth = np.full((20, 20), 0.5, np.float32)
    depth[:, 10:] = 0.7
    smoothed = run_filter(depth)
    assert set(np.unique(smoothed.round(4))) <= {np.float32(0.0), np.float32(0.5), np.float32(0.7)}


def test_what_is_not_a_reading_becomes_zero():
    """By a filter that neither drops nor smooths what is a reading."""
    depth = np.array([[0.5, np.nan, np.inf, -np.inf, -0.3, 0.0005, 100.0, 99.0]], np.float32)
    keep = DepthFilter(erode_radius_px=0, smooth_radius_px=0)
    np.testing.assert_array_equal(run_filter(depth, keep), np.float32([[0.5, 0, 0, 0, 0, 0, 0, 99.0]]))


def test_a_window_off_the_image_is_refused():
    with pytest.raises(InputError, match="clip it to the image"):
        run_filter(np.ones((10, 10), np.float32), window=(5, 5, 6, 2))


@pytest.mark.gpu
def test_cuda_filters_as_the_cpu_does(rng, cuda):
    depth = noisy_scene(rng)
    np.testing.assert_allclose(run_filter(depth, device=cuda), run_filter(depth), atol=TOLERANCE_M)
