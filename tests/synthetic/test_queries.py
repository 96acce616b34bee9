"""Cluttered pictures: the same for a seed, true to their masks, and never with an object of the other side."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.synthetic.objects import EVALUATION_FROM
from storm_edge.synthetic.patches import ObjectPool
from storm_edge.synthetic.queries import (
    ClutterConfig,
    QueryConfig,
    QuerySampler,
    evaluation_clutter,
    make_clutter,
    recoloured,
)
from storm_edge.synthetic.verification import BAD_COUNT, GOOD_COUNT, GroupSampler

SMALL = QueryConfig(pool_size=8, views=4)


@pytest.fixture(scope="module")
def pool() -> ObjectPool:
    return ObjectPool(np.random.default_rng(1), size=8)


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


def test_one_seed_gives_one_stream() -> None:
    one, other = (QuerySampler(3, config=SMALL).query_batch(2) for _ in range(2))
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
    assert one["image"].shape == (2, 8, 120, 160)
    assert one["objects"].shape == (2, 3, 5, 60, 80)
    assert one["views"].shape == (2, 3, 4, 8, 32, 32)
    present = one["present"] > 0
    assert (one["mask"].sum(axis=(2, 3))[present] > 0).all()
    assert (one["mask"].sum(axis=(2, 3))[~present] == 0).all()
    assert all(np.isfinite(array).all() for array in one.values())


def test_absent_objects_are_not_in_the_picture() -> None:
    (clutter, absent) = next(evaluation_clutter(1, 3, size_px=(120, 160)))
    assert 5 <= len(clutter.things) <= 8
    assert absent.truth.seed >= EVALUATION_FROM
    assert absent.truth.seed not in {thing.truth.seed for thing in clutter.things}


def test_a_twin_differs_in_colour_alone(pool: ObjectPool) -> None:
    twins = [(item, recoloured(np.random.default_rng(i), item)) for i, item in enumerate(pool.objects)]
    assert any(twin is not None for _, twin in twins)
    for item, twin in twins:
        if twin is None:
            continue
        np.testing.assert_array_equal(item.truth.mesh.vertices, twin.truth.mesh.vertices)
        change = np.abs(item.truth.mesh.colours - twin.truth.mesh.colours).sum(axis=1).mean()
        assert change >= 0.35


def test_groups_hold_good_crops_then_bad_ones() -> None:
    batch = GroupSampler(4, pool_size=6).group_batch(3)
    assert batch["crops"].shape == (3, GOOD_COUNT + BAD_COUNT, 6, 80, 80)
    assert (batch["good"][:, :GOOD_COUNT] == 1.0).all()
    assert (batch["good"][:, GOOD_COUNT:] == 0.0).all()
    assert np.isfinite(batch["crops"]).all()
    assert np.abs(batch["crops"][:, :, 3:]).max() < 2.0  # half diameters, cut off like at run time
    np.testing.assert_array_equal(GroupSampler(4, pool_size=6).group_batch(3)["crops"], batch["crops"])
