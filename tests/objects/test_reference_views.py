"""Reference views for STORM's segmenter: upstream's camera, the object in the middle, grey around it."""

from __future__ import annotations

import numpy as np

from storm_edge.geometry.viewsphere import golden_spiral
from storm_edge.objects.reference_views import reference_input, reference_views

from ..tiny_scene import box_mesh


def test_the_object_is_in_the_middle_at_the_size_upstream_gives_it() -> None:
    """1.5 diagonals away a diagonal spans 2 atan(1/3) = 36.9 of the 45 degrees of view: at most 386 of 480 rows."""
    views = reference_views(box_mesh())
    assert views.shape == (16, 480, 640, 3)
    for view in views:
        seen = (view != 128).any(axis=2)
        v, u = np.nonzero(seen)
        assert np.ptp(v) <= 420
        assert np.ptp(u) <= 420
        assert abs(u.mean() - 319.5) < 40
        assert abs(v.mean() - 239.5) < 40
    assert reference_input(views).shape == (16, 3, 224, 224)


def test_directions_are_spread_over_the_sphere() -> None:
    d = golden_spiral(16)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1.0, atol=1e-12)
    apart = np.arccos(np.clip(d @ d.T - 2.0 * np.eye(16), -1.0, 1.0))
    # Sixteen caps of equal area have a radius of 29 degrees; no gap and no crowd.
    assert np.rad2deg(apart.min(axis=1)).min() > 35.0
    assert np.abs(d.mean(axis=0)).max() < 0.05
