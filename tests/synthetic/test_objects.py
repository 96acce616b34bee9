"""Objects: one per seed, on one side of the fence, and as symmetric as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from storm_edge.geometry.se3 import transform
from storm_edge.synthetic.hands import make_hand
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.splits import EVALUATION_FROM
from storm_edge.synthetic.textures import KINDS, paint


@pytest.mark.parametrize("kind", KINDS)
def test_every_paint_gives_colours(rng: np.random.Generator, kind: str) -> None:
    points = rng.uniform(-0.1, 0.1, (500, 3))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    colours, named = paint(rng, points, normals, kind=kind)
    assert named == kind
    assert colours.shape == (500, 3)
    assert colours.min() >= 0.0
    assert colours.max() <= 1.0
    assert (np.ptp(colours, axis=0).max() > 0.0) == (kind != "plain")


def test_a_seed_is_an_object() -> None:
    first, again, other = make_object(4), make_object(4), make_object(5)
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
    np.testing.assert_array_equal(first.mesh.colours, again.mesh.colours)
    assert first.mesh.vertices.shape != other.mesh.vertices.shape


@pytest.mark.parametrize(("seed", "evaluation"), [(EVALUATION_FROM, False), (EVALUATION_FROM - 1, True), (-1, False)])
def test_training_and_evaluation_share_no_object(seed: int, evaluation: bool) -> None:
    with pytest.raises(ValueError, match="share no object"):
        make_object(seed, evaluation=evaluation)


def test_symmetries_map_the_surface_onto_itself() -> None:
    turned = next(
        item
        for item in (make_object(s, family="can", paint_kind="plain") for s in range(20))
        if len(item.symmetries) > 1
    )
    assert len(turned.symmetries) == 72
    assert not turned.pose_is_unique
    tree = cKDTree(turned.mesh.vertices)
    for T in turned.symmetries[[0, 7, 40]]:
        distance, _ = tree.query(transform(T, turned.mesh.vertices))
        assert distance.max() < 0.05 * turned.diameter_m  # vertices fall between vertices


def test_painted_objects_claim_no_symmetry() -> None:
    item = make_object(3, family="can", paint_kind="labels")
    assert item.pose_is_unique
    assert item.axes == ()
    np.testing.assert_array_equal(item.symmetries, np.eye(4)[None])


def test_hands_have_the_size_of_hands(rng: np.random.Generator) -> None:
    for _ in range(5):
        mesh = make_hand(rng)
        assert 800 < len(mesh.faces) < 6000
        low, high = mesh.bounds()
        assert 0.3 < high[1] < 0.6  # the forearm leaves along +y
        assert -0.15 < low[1] < 0.0  # the fingers reach a little beyond the grasp point
