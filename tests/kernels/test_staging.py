"""Staged arrays: what is written on one side is read on the other, whatever lies beside it in the block."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.kernels.device import require_device
from storm_edge.kernels.staging import Staging

FIELDS = {
    "odd": (wp.uint8, (3, 5)),
    "poses": (wp.mat44f, (2,)),
    "K": (wp.mat33d, (1,)),
    "sums": (wp.float32, (2, 7)),
}


def filled(device: str, *, zero_copy: bool = False) -> Staging:
    staging = Staging(FIELDS, require_device(device), zero_copy=zero_copy)
    for index, array in enumerate(staging.host.values()):
        array[:] = np.arange(array.size).reshape(array.shape) + index
    staging.send()
    return staging


def check(staging: Staging) -> None:
    for index, (name, array) in enumerate(staging.there.items()):
        found = array.numpy()
        assert found.dtype == staging.host[name].dtype
        np.testing.assert_array_equal(found, np.arange(found.size).reshape(found.shape) + index)
        assert array.ptr % 256 == 0 or array.device.is_cpu


def test_both_sides_are_one_memory_on_a_cpu() -> None:
    staging = filled("cpu")
    check(staging)
    staging.there["sums"].fill_(3.0)
    np.testing.assert_array_equal(staging.host["sums"], 3.0)


@pytest.mark.gpu
@pytest.mark.parametrize("zero_copy", [False, True])
def test_one_copy_either_way_on_cuda(cuda: str, zero_copy: bool) -> None:
    staging = filled(cuda, zero_copy=zero_copy)
    check(staging)
    staging.there["sums"].fill_(3.0)
    staging.fetch()
    wp.synchronize_device(cuda)
    np.testing.assert_array_equal(staging.host["sums"], 3.0)
