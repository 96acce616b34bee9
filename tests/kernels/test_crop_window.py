"""Crop windows: the upstream rule in worked numbers, kernel against reference."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.crop_window import launch_windows, window_rule
from storm_edge.kernels.device import require_device
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.reference.crop_window import plain_windows, upstream_windows, window_square
from tests.kernels.shapes import K_CAMERA, poses

K_SQUARE = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
IMAGE = (480, 640)
REACH_M = 0.2 * 1.2 / 2


def on_device(T, K, reach_m, size_px, *, upstream, device="cpu"):
    target = require_device(device)
    windows = wp.zeros(len(T), dtype=wp.vec4f, device=target)
    K_crop = wp.zeros(len(T), dtype=wp.mat33f, device=target)
    launch_windows(
        wp.array(T.astype(np.float32), dtype=wp.mat44f, device=target),
        wp.array(K[None], dtype=wp.mat33d, device=target),
        rule=window_rule(reach_m=reach_m, size_px=size_px, upstream_image_px=IMAGE if upstream else None),
        windows=windows,
        K_crop=K_crop,
        count=len(T),
        launch_cache=LaunchCache(target),
    )
    return windows.numpy(), K_crop.numpy()


def test_square_in_worked_numbers():
    """f 600, z 0.6, diameter 0.2, ratio 1.2: rho = 0.12 * 600 / 0.6 = 120 px; x 0.03 moves the centre by 30 px."""
    centre, rho = window_square(make_T(np.eye(3), [[0.03, -0.06, 0.6]]), K_SQUARE, REACH_M)
    np.testing.assert_allclose(rho, 120.0)
    np.testing.assert_allclose(centre, [[350.0, 180.0]])


def test_plain_rule_in_worked_numbers():
    """Borders at 230 and 470, 240 px on 80: 3 px per crop pixel; the first centre lies 1.5 px inside."""
    windows, K_crop = plain_windows(make_T(np.eye(3), [[0.03, -0.06, 0.6]]), K_SQUARE, reach_m=REACH_M, size_px=80)
    np.testing.assert_allclose(windows, [[3.0, 231.5, 3.0, 61.5]])
    # The object's centre is at the middle of the crop: (80 - 1) / 2.
    np.testing.assert_allclose(project(K_crop[0], [0.03, -0.06, 0.6]), [39.5, 39.5])


def test_upstream_rule_in_worked_numbers():
    """z 0.601 and x 0.0307: centre 350.649, rho 119.800: left 230.849 -> 231, right 470.449 -> 470, 239 px on 160.

    Observed: s = 1.49375; column 0 at 231 * 640/639 - 0.5 = 230.8615, step 1.49375 * 640/639 = 1.496088.
    Rendered: column 0 at 231 + 0.5 * 1.49375 * 159/160 = 231.74221, step 1.49375 * 159/160 = 1.4844141.
    """
    T = make_T(np.eye(3), [[0.0307, 0.0, 0.601]])
    windows, K_crop = upstream_windows(T, K_SQUARE, reach_m=REACH_M, size_px=160, image_size_px=IMAGE)
    np.testing.assert_allclose(windows[0, :2], [1.496088, 230.8615], atol=1e-4)
    # The crop column where a source column lands, from K_crop: fx / s and (cx - offset) / s.
    np.testing.assert_allclose(K_crop[0, 0, 0], 600.0 / 1.4844141, rtol=1e-6)
    np.testing.assert_allclose((320.0 - 231.74221) / 1.4844141, K_crop[0, 0, 2], atol=1e-4)
    # Rows: centre 240, rho 119.800: 120.2 -> 120 and 359.8 -> 360.
    np.testing.assert_allclose(windows[0, 2], 240 / 160 * 480 / 479, atol=1e-6)


def test_upstream_rounds_half_to_even():
    """rho 120 around 320.5: borders 200.5 and 440.5 both go to the even neighbour, 200 and 440."""
    K = K_SQUARE.copy()
    K[0, 2] = 320.5
    T = make_T(np.eye(3), [[0.0, 0.0, 0.6]])
    windows, _ = upstream_windows(T, K, reach_m=0.12, size_px=160, image_size_px=IMAGE)
    np.testing.assert_allclose(windows[0, :2], [1.5 * 640 / 639, 200 * 640 / 639 - 0.5])


@pytest.mark.parametrize("upstream", [False, True])
def test_kernel_matches_the_reference(upstream, rng):
    """Translations are given in float32 to both, so rounding falls to the same side; worst 1.5e-5 px (x86-64)."""
    T = poses(rng, 200, spread_m=0.2).astype(np.float32).astype(np.float64)
    K = K_CAMERA.copy()
    K[0, 1] = 2.0
    windows, K_crop = on_device(T, K, REACH_M, 80, upstream=upstream)
    rule = (lambda **given: upstream_windows(image_size_px=IMAGE, **given)) if upstream else plain_windows
    expected, expected_K = rule(T_cam_obj=T, K=K, reach_m=REACH_M, size_px=80)
    np.testing.assert_allclose(windows, expected, atol=1e-4)
    np.testing.assert_allclose(K_crop, expected_K, rtol=1e-6, atol=1e-4)


@pytest.mark.gpu
def test_cuda_places_windows_as_the_cpu_does(rng, cuda):
    T = poses(rng, 50)
    for a, b in zip(
        on_device(T, K_CAMERA, REACH_M, 80, upstream=True),
        on_device(T, K_CAMERA, REACH_M, 80, upstream=True, device=cuda),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)
