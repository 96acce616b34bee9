"""Smooth fields: variance, scale and range."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from storm_edge.synthetic.fields import image_field, space_field


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@pytest.mark.parametrize("scale_px", [1.0, 3.0, 12.0])
def test_image_fields_have_unit_variance_and_their_scale(
    rng: np.random.Generator, interpolation: int, scale_px: float
) -> None:
    field = image_field(rng, (300, 400), scale_px, interpolation=interpolation)
    assert field.shape == (300, 400)
    assert field.dtype == np.float32
    assert field.std() == pytest.approx(1.0, abs=0.15)
    neighbours = np.corrcoef(field[:, :-1].ravel(), field[:, 1:].ravel())[0, 1]
    far = round(3 * scale_px)
    strangers = np.corrcoef(field[:, :-far].ravel(), field[:, far:].ravel())[0, 1]
    assert abs(strangers) < 0.15
    assert neighbours > 0.9 if scale_px > 10 else neighbours < 0.9


def test_space_fields_stay_between_0_and_1(rng: np.random.Generator) -> None:
    values = space_field(rng, rng.normal(size=(1000, 3)), 0.2)
    assert values.min() >= 0.0
    assert values.max() <= 1.0
    assert values.std() > 0.1
