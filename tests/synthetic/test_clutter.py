"""Cluttered images: true to their masks, and never with an object that networks are trained on."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.synthetic.clutter import ClutterConfig, evaluation_clutter, make_clutter, recoloured
from storm_edge.synthetic.object_pool import ObjectPool
from storm_edge.synthetic.splits import EVALUATION_FROM, OBJECTS_TRAIN


@pytest.fixture(scope="module")
def pool() -> ObjectPool:
    return ObjectPool(np.random.default_rng(1), size=8, seeds=OBJECTS_TRAIN.seeds)


def test_visible_pixels_lie_in_the_projected_outline(pool: ObjectPool) -> None:
    rng = np.random.default_rng(5)
    clutter = make_clutter(rng, pool, (180, 240), ClutterConfig(object_count=(4, 6), hand_share=1.0))
    assert clutter.masks_visib.sum(axis=0).max() == 1  # a pixel shows one thing
    for k, thing in enumerate(clutter.things):
        points = transform(clutter.T_cam_obj[k], thing.truth.mesh.vertices)
        v, u = np.nonzero(clutter.masks_visib[k])
        if not len(v) or points[:, 2].min() < 0.05:
            continue
        at = project(clutter.frame.K, points)
        assert u.min() >= at[:, 0].min() - 1
        assert u.max() <= at[:, 0].max() + 1
        assert v.min() >= at[:, 1].min() - 1
        assert v.max() <= at[:, 1].max() + 1
    assert ((clutter.visible_share >= 0.0) & (clutter.visible_share <= 1.0)).all()


def test_absent_objects_are_not_in_the_picture() -> None:
    (clutter, absent) = next(evaluation_clutter(1, 3, size_px=(120, 160)))
    assert 5 <= len(clutter.things) <= 8
    assert absent
    for item in absent:
        assert item.truth.seed >= EVALUATION_FROM
        assert item.truth.seed not in {thing.truth.seed for thing in clutter.things}


def test_a_twin_differs_in_colour_alone(pool: ObjectPool) -> None:
    twins = [(item, recoloured(np.random.default_rng(i), item)) for i, item in enumerate(pool.objects)]
    assert any(twin is not None for _, twin in twins)
    for item, twin in twins:
        if twin is None:
            continue
        np.testing.assert_array_equal(item.truth.mesh.vertices, twin.truth.mesh.vertices)
        change = np.abs(item.truth.mesh.colours - twin.truth.mesh.colours).sum(axis=1).mean()
        assert change >= 0.35
