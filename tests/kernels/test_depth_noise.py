"""Depth limits: what they are for near things, and how they grow with the noise beyond."""

from __future__ import annotations

import numpy as np
import warp as wp

from storm_edge.kernels.depth_noise import depth_limits, noise_limit

DEPTHS = np.linspace(0.1, 5.0, 50, dtype=np.float32)


@wp.kernel
def _limits(z: wp.array(dtype=wp.float32), out: wp.array(dtype=wp.float32)):
    i = wp.tid()
    out[i] = noise_limit(0.01, 0.005, z[i])


def test_near_things_keep_their_limit_bit_by_bit() -> None:
    reached_m = np.sqrt(0.01 / 0.005)
    near = np.linspace(0.1, reached_m - 1e-3, 50, dtype=np.float32)
    assert (depth_limits(0.01, 0.005, near) == np.float32(0.01)).all()


def test_far_things_have_the_noise_of_a_stereo_camera() -> None:
    assert depth_limits(0.01, 0.005, 3.0) == np.float32(0.005) * 9
    assert depth_limits(0.01, 0.0, 3.0) == np.float32(0.01)  # no noise: the limit alone


def test_kernel_equals_numpy() -> None:
    out = wp.zeros(len(DEPTHS), dtype=wp.float32, device="cpu")
    z = wp.array(DEPTHS, dtype=wp.float32, device="cpu")
    wp.launch(_limits, dim=len(DEPTHS), inputs=[z, out], device="cpu")
    np.testing.assert_array_equal(out.numpy(), depth_limits(0.01, 0.005, DEPTHS))
