"""The pixels that a mask marks."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.pixels import marked_pixels


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_pixels_are_those_of_numpy_in_its_order(share: float) -> None:
    mask = np.random.default_rng(0).random((37, 61)) < share
    for found, expected in zip(marked_pixels(mask), np.nonzero(mask), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_part_of_an_image_has_pixels_of_its_own() -> None:
    image = np.zeros((20, 30), dtype=bool)
    image[5, 7] = image[9, 4] = True
    rows, columns = marked_pixels(image[4:12, 3:10])
    assert (list(rows), list(columns)) == ([1, 5], [4, 1])
