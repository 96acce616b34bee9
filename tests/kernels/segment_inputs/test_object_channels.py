"""Which colours fit, and how large an object would appear."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.segment_inputs import contract
from storm_edge.kernels.segment_inputs.colour_fit import colour_fit
from storm_edge.kernels.segment_inputs.colour_model import colour_model
from storm_edge.kernels.segment_inputs.object_channels import object_channels
from storm_edge.kernels.segment_inputs.small_frame import small_frame

K = np.array([[570.0, 0.0, 322.0], [0.0, 575.0, 236.0], [0.0, 0.0, 1.0]])


def test_colours_of_the_object_fit_under_any_light(rng: np.random.Generator) -> None:
    red = np.clip(np.array([0.7, 0.15, 0.1]) + rng.normal(0, 0.02, (500, 3)), 0, 1).astype(np.float32)
    model = colour_model(red)
    depth = np.full((480, 640), 1.0, dtype=np.float32)
    picture = np.full((480, 640, 3), (60, 110, 160), dtype=np.uint8)
    picture[200:280, 200:280] = (0.7 * 0.8 * 255, 0.15 * 0.8 * 255, 0.1 * 0.8 * 255)
    small = small_frame(picture, depth, K)
    channels = object_channels(small, model, 0.15)
    assert channels.shape == (contract.OBJECT_CHANNELS, *contract.MASK_PX)
    assert channels[1, 30, 30] > 0.5
    assert channels[1, 10, 70] < -0.5
    # 0.15 m at 1 m seen with 570 / 4 px: 21.4 px, against the usual 24.
    assert channels[3, 10, 70] == pytest.approx(np.log2(0.15 * 570 / 4 / 24), abs=0.01)
    on_it, beside = np.zeros((2, 480, 640), dtype=bool)
    on_it[210:270, 210:270] = True
    beside[20:80, 20:80] = True
    assert colour_fit(small, model, on_it) > -1.0
    assert colour_fit(small, model, beside) < -3.0
    assert colour_fit(small, model, np.zeros((480, 640), dtype=bool)) == 0.0
