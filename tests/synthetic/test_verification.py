"""Groups of crops for the verifier."""

from __future__ import annotations

import numpy as np

from storm_edge.synthetic.verification import BAD_COUNT, GOOD_COUNT, GroupSampler


def test_groups_hold_good_crops_then_bad_ones() -> None:
    batch = GroupSampler(4, pool_size=6).group_batch(3)
    assert batch["crops"].shape == (3, GOOD_COUNT + BAD_COUNT, 6, 80, 80)
    assert (batch["good"][:, :GOOD_COUNT] == 1.0).all()
    assert (batch["good"][:, GOOD_COUNT:] == 0.0).all()
    assert np.isfinite(batch["crops"]).all()
    assert np.abs(batch["crops"][:, :, 3:]).max() < 2.0  # half diameters, cut off like at run time
    np.testing.assert_array_equal(GroupSampler(4, pool_size=6).group_batch(3)["crops"], batch["crops"])
