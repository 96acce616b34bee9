"""Families of shapes: closed, outward, of the size and fineness asked for."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.mesh import diameter
from storm_edge.synthetic.shapes import FAMILIES, make_shape
from tests.synthetic.surfaces import is_closed, volume


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_family_makes_sound_things(family: str, seed: int) -> None:
    (vertices, faces), named, _ = make_shape(
        np.random.default_rng(seed), face_count=4000, diameter_m=0.2, family=family
    )
    assert named == family
    assert np.isfinite(vertices).all()
    assert is_closed((vertices, faces))
    assert volume((vertices, faces)) > 0.0
    assert 1200 < len(faces) < 6000
    np.testing.assert_allclose(vertices.min(axis=0) + vertices.max(axis=0), 0.0, atol=1e-12)
    assert diameter(vertices) == pytest.approx(0.2, rel=0.003)


def test_one_seed_is_one_shape_at_any_fineness() -> None:
    """Proportions are drawn before the surface is cut up: coarse and fine have the same box."""
    sizes = []
    for face_count in (1500, 6000):
        (vertices, _), _, _ = make_shape(
            np.random.default_rng(9), face_count=face_count, diameter_m=0.2, family="bottle"
        )
        sizes.append(np.ptp(vertices, axis=0))
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=0.05)
