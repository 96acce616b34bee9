"""Where upstream puts its hypotheses, on pixels counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import MaskError
from storm_edge.pipeline.register.box_placement import box_translation

K = np.array([[100.0, 0.0, 20.0], [0.0, 200.0, 10.0], [0.0, 0.0, 1.0]])


def test_the_middle_of_the_box_at_the_median_depth() -> None:
    """A corner at (30, 4) and one at (41, 14): the middle is (35.5, 9). Readings 0.4, 0.5, 0.9 m; one has none."""
    mask, depth_m = np.zeros((20, 50), dtype=bool), np.zeros((20, 50), dtype=np.float32)
    for row, column, z in ((4, 30, 0.4), (14, 41, 0.9), (5, 33, 0.5), (6, 40, 0.0)):
        mask[row, column], depth_m[row, column] = True, z
    found = box_translation(depth_m, mask, K, min_depth_px=3)
    np.testing.assert_allclose(found, [15.5 / 100.0 * 0.5, -1.0 / 200.0 * 0.5, 0.5], atol=1e-7)


def test_an_even_count_takes_the_mean_of_the_middle_two() -> None:
    mask, depth_m = np.ones((2, 2), dtype=bool), np.float32([[0.3, 0.5], [0.6, 0.9]])
    assert box_translation(depth_m, mask, np.eye(3), min_depth_px=4)[2] == pytest.approx(0.55)


def test_too_few_readings_are_refused() -> None:
    mask, depth_m = np.ones((2, 2), dtype=bool), np.float32([[0.3, 0.5], [0.6, 0.0005]])
    with pytest.raises(MaskError, match="3 pixels with depth after upstream's filter, expected at least 4"):
        box_translation(depth_m, mask, np.eye(3), min_depth_px=4)
