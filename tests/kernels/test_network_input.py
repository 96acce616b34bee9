"""The six channels in worked numbers; the kernels are compared in `tests.pipeline.inputs.test_network_inputs`."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.reference.network_input import network_input

POSE = [0.1, -0.2, 0.6]


def channels(point, *, diameter_m=0.2, min_z_m=0.001):
    """Channels 3 to 5 of one pixel that shows ``point``."""
    colour, xyz = np.full((1, 1, 3), 0.25), np.array(point, dtype=np.float64).reshape(1, 1, 3)
    tensor = network_input(colour, xyz, POSE, diameter_m=diameter_m, min_z_m=min_z_m, limit=2.0)
    np.testing.assert_array_equal(tensor[:3, 0, 0], 0.25)
    return tensor[3:, 0, 0]


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((0.1, -0.2, 0.6), (0.0, 0.0, 0.0)),  # the pose's own centre
        ((0.15, -0.3, 0.55), (0.5, -1.0, -0.5)),  # 5, -10 and -5 cm over half of 20 cm
        ((0.15, -0.2, 0.81), (0.5, 0.0, 0.0)),  # z is 2.1 half diameters off: it alone becomes 0
        ((0.31, -0.41, 0.6), (0.0, 0.0, 0.0)),  # x and y are too far, z is right
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),  # no surface; without the rule x would be -1, y 2, z -6
    ],
)
def test_points_are_relative_to_the_pose_in_half_diameters(point, expected):
    np.testing.assert_allclose(channels(point), expected, atol=1e-12)


def test_points_before_the_cut_off_are_none():
    near = (0.15, -0.2, 0.5)
    np.testing.assert_allclose(channels(near, min_z_m=0.5), (0.5, 0.0, -1.0))
    assert not channels(near, min_z_m=0.500001).any()
