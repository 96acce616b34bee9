"""A frame at the working size, for objects of different sizes."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.segment_inputs.small_frame import small_frame

K = np.array([[570.0, 0.0, 319.5], [0.0, 570.0, 239.5], [0.0, 0.0, 1.0]])


def test_the_side_of_an_object_is_no_table_for_it_and_is_one_for_a_smaller_one() -> None:
    """A box held 0.3 m from the camera: 0.17 m wide, in front of a wall 1 m away."""
    z = np.full((480, 640), 1.0, dtype=np.float32)
    z[120:360, 160:480] = 0.3
    whole = small_frame(np.full((480, 640, 3), 128, dtype=np.uint8), z, K)
    assert len(whole.planes) == 2
    assert whole.for_object(0.05) is whole
    seen = whole.for_object(0.3)
    assert len(seen.planes) == 1
    assert whole.plane_distance_m[60, 80] == pytest.approx(0.0, abs=1e-3)
    assert seen.plane_distance_m[60, 80] == pytest.approx(0.7, abs=1e-3)
    assert seen.plane_distance_m[5, 5] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_array_equal(seen.channels, whole.channels)
