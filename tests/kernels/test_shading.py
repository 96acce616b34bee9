"""Light and texture of rendered images, in worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import InputError
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from tests.kernels.shapes import K_CAMERA, quad

IN_FRONT = make_T(np.eye(3), [0.0, 0.0, 0.5])


def test_headlight_is_upstreams():
    """A grey square facing the camera: 128/255 * (0.8 + 0.5); turned by 60 degrees: 128/255 * (0.8 + 0.25)."""
    facing = render(quad(0.1), IN_FRONT, K_CAMERA, (480, 640)).colour[0, 240, 320]
    tilted = render(quad(0.1), make_T(exp_so3([np.deg2rad(60.0), 0, 0]), [0, 0, 0.5]), K_CAMERA, (480, 640))
    np.testing.assert_allclose(facing, 128 / 255 * 1.3, atol=1e-6)
    np.testing.assert_allclose(tilted.colour[0, 240, 320], 128 / 255 * 1.05, atol=1e-6)


def test_light_may_differ_per_pose():
    lights = [Lighting(ambient=0.2, diffuse=0.5, to_light=(0, 0, -2.0)), Lighting(ambient=0.2, to_light=(0, 0, 1.0))]
    colour = render(quad(0.1), np.stack([IN_FRONT] * 2), K_CAMERA, (480, 640), lighting=lights).colour
    np.testing.assert_allclose(colour[:, 240, 320, 0], [128 / 255 * 0.7, 128 / 255 * 0.2], atol=1e-6)
    with pytest.raises(InputError, match="one light per pose"):
        render(quad(0.1), IN_FRONT, K_CAMERA, 32, lighting=lights)


def test_texture_is_the_right_way_up():
    """Rendered so that one texel is 9 px: the pixel in the middle of a texel has its colour, row 0 on top."""
    mesh = quad(0.1, textured=True)
    K = np.array([[180.0, 0, 35.5], [0, 180.0, 35.5], [0, 0, 1]])  # +-0.1 m at 0.5 m: columns -0.5 to 71.5
    image = render(mesh, IN_FRONT, K, 72, lighting=Lighting(ambient=1.0, diffuse=0.0)).colour[0]
    np.testing.assert_allclose(image[4::9, 4::9], mesh.texture / 255.0, atol=1e-5)
