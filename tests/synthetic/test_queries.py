"""Batches for the segmenter: the same for a seed."""

from __future__ import annotations

import numpy as np

from storm_edge.synthetic.queries import QueryConfig, QuerySampler

SMALL = QueryConfig(pool_size=8, views=4)


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
