"""Crops: identity, shifts and borders by hand; kernel against its reference."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.geometry.camera import back_project
from storm_edge.kernels.device import require_device
from storm_edge.kernels.network_input import InputRule, write_observed
from storm_edge.kernels.reference import crop as reference
from tests.kernels.shapes import K_CAMERA

COLOUR = 2e-5  # worst seen 4e-6 on an x86-64 CPU: float32 positions up to 640 px times a slope of up to 1 per px


def cut(rgb, depth, windows, size_px, K=K_CAMERA, device="cpu"):
    """Colour, depth and points of crops, as `write_observed` samples them: for a pose at the origin, in metres."""
    target = require_device(device)
    rule = InputRule()
    rule.radius_m, rule.min_z_m, rule.limit, rule.span = 1.0, 0.0, 1e6, size_px
    tensor = wp.zeros((len(windows), 6, size_px, size_px), dtype=wp.float32, device=target)
    inputs = [
        wp.array(rgb, dtype=wp.uint8, device=target),
        wp.array(depth, dtype=wp.float32, device=target),
        wp.array(K[None], dtype=wp.mat33d, device=target),
        wp.array(np.asarray(windows, np.float32), dtype=wp.vec4f, device=target),
        wp.array(np.tile(np.eye(4, dtype=np.float32), (len(windows), 1, 1)), dtype=wp.mat44f, device=target),
        rule,
        tensor,
    ]
    wp.launch(write_observed, dim=(len(windows), size_px, 1), inputs=inputs, device=target)
    crops = tensor.numpy().transpose(0, 2, 3, 1)
    return crops[..., :3], crops[..., 5], crops[..., 3:]


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), rng.uniform(0.3, 1.0, (48, 64)).astype(np.float32)


def test_identity_window_is_the_image(image):
    rgb, depth = image
    colour, crop_depth, xyz = cut(rgb, depth, [(1, 5, 1, 7)], 32)
    part = (slice(7, 39), slice(5, 37))
    np.testing.assert_allclose(colour[0], rgb[part] / 255.0, atol=1e-6)
    np.testing.assert_array_equal(crop_depth[0], depth[part])
    v, u = np.mgrid[part]
    np.testing.assert_allclose(xyz[0], back_project(K_CAMERA, np.stack([u, v], -1), depth[part]), atol=1e-6)


def test_kernel_matches_the_reference(image, rng):
    """Enlarging, shrinking, off the image on every side, and wholly outside."""
    rgb, depth = image
    windows = np.float32(
        [[0.3137, 10.2, 0.4713, 3.9], [1.7071, -9.3131, 1.9119, -20.4177]]
        + [[1.1013, 40.6171, 1.1013, 30.1313], [1, 500, 1, 500]]
    )
    colour, crop_depth, _ = cut(rgb, depth, windows, 40)
    for n, window in enumerate(windows):
        np.testing.assert_allclose(colour[n], reference.crop_colour(rgb, window, 40), atol=COLOUR)
        # No position of these windows is within float32 of half a pixel, where rounding could go either way.
        np.testing.assert_array_equal(crop_depth[n], reference.crop_nearest(depth, window, 40).astype(np.float32))
    assert not colour[3].any()
    assert not crop_depth[3].any()


def test_borders_mix_with_black():
    """Half a pixel off a white image: half white; nearest at -0.5 rounds to even, pixel 0."""
    rgb, depth = np.full((8, 8, 3), 255, np.uint8), np.full((8, 8), 0.5, np.float32)
    colour, crop_depth, _ = cut(rgb, depth, [(1, -0.5, 1, 2)], 4)
    np.testing.assert_allclose(colour[0, 0, :, 0], [0.5, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(crop_depth[0, 0], 0.5)


def test_points_keep_the_ray_of_the_measured_pixel(image):
    """Enlarged four times, 4 x 4 crop pixels share one reading and hence one point."""
    rgb, depth = image
    _, _, xyz = cut(rgb, depth, [(0.25, 9.625, 0.25, 19.625)], 32)
    blocks = xyz[0].reshape(8, 4, 8, 4, 3)
    np.testing.assert_array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape))


def test_a_window_that_is_no_window_is_black(image):
    rgb, depth = image
    colour, crop_depth, xyz = cut(rgb, depth, [(np.nan, np.nan, np.nan, np.nan), (1e30, 1e30, 1, 0)], 8)
    assert not colour.any()
    assert not crop_depth.any()
    assert not xyz.any()


@pytest.mark.gpu
def test_cuda_cuts_as_the_cpu_does(image, cuda):
    windows = [(0.31, 10.2, 0.47, 3.9), (1.7, -9.3, 1.9, -20.4)]
    for a, b in zip(cut(*image, windows, 40), cut(*image, windows, 40, device=cuda), strict=True):
        np.testing.assert_allclose(a, b, atol=COLOUR)
