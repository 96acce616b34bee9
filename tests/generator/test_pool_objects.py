"""Odd objects are what their kind says, and always the same for one seed."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.generator.pool_objects import ODD_KINDS, draw_object, odd_object
from storm_edge.geometry.mesh import diameter
from storm_edge.synthetic.objects import DIAMETER_M, make_object


@pytest.mark.parametrize("kind", ODD_KINDS)
def test_an_odd_object_is_centred_and_repeatable(kind: str) -> None:
    first, again = odd_object(17, kind, 800), odd_object(17, kind, 800)
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
    np.testing.assert_array_equal(first.mesh.colours, again.mesh.colours)
    low, high = first.mesh.bounds()
    np.testing.assert_allclose(low + high, 0.0, atol=1e-4)
    assert diameter(first.mesh.vertices) == pytest.approx(first.diameter_m, rel=0.004)
    assert DIAMETER_M[0] <= first.diameter_m <= DIAMETER_M[1]
    assert first.kind == kind


def test_kinds_look_as_they_are_called() -> None:
    white = [odd_object(seed, "white", 600).mesh.colours for seed in range(4)]
    assert all(colours.min() > 0.65 and np.ptp(colours, axis=0).max() < 1e-6 for colours in white)
    marked = [odd_object(seed, "marked", 600) for seed in range(6)]
    assert all(len(np.unique(item.mesh.colours, axis=0)) == 2 for item in marked)
    assert all(item.gloss[0] >= 0.5 for item in (odd_object(seed, "glossy", 600) for seed in range(4)))
    rounded = [odd_object(seed, "round", 600).symmetries for seed in range(4)]
    assert all(item.axis.tolist() == [0.0, 0.0, 1.0] for item in rounded)
    for kind, most in (("flat", 0.5), ("thin", 0.75)):
        for seed in range(4):
            sides = np.sort(np.ptp(odd_object(seed, kind, 600).mesh.vertices, axis=0))
            assert sides[0] < most * sides[2]


def test_usual_objects_are_those_of_their_seeds() -> None:
    """Objects of existing callers do not change, and pool and recordings share them."""
    rng = np.random.default_rng(3)
    item = draw_object(rng, range(40, 41), (500, 900), 0.0)
    rng = np.random.default_rng(3)
    rng.integers(40, 41)
    expected = make_object(40, face_count=int(rng.integers(500, 900)))
    np.testing.assert_array_equal(item.mesh.vertices, expected.mesh.vertices)
    assert item.kind == "usual"
