"""Recorded launches: each does what `wp.launch` would with the arrays it is given now; few are kept."""

from __future__ import annotations

import numpy as np
import warp as wp

from storm_edge.kernels import launch_cache as module
from storm_edge.kernels.device import require_device
from storm_edge.kernels.launch_cache import LaunchCache, RecordedLaunches


@wp.kernel
def keep_below(depth: wp.array2d(dtype=wp.float32), far_m: float, out: wp.array2d(dtype=wp.float32)):
    """The depth, or 0 from ``far_m`` on."""
    row, column = wp.tid()
    out[row, column] = wp.where(depth[row, column] < far_m, depth[row, column], 0.0)


def depth(value: float) -> wp.array:
    return wp.array(np.full((2, 3), value, dtype=np.float32), device="cpu")


def test_a_launch_is_identified_by_arrays_numbers_and_threads() -> None:
    cache = LaunchCache(require_device("cpu"))
    out = depth(0.0)
    for value, far_m, expected in ((1.0, 5.0, 1.0), (2.0, 5.0, 2.0), (2.0, 1.5, 0.0), (1.0, 5.0, 1.0)):
        cache.launch(keep_below, (2, 3), [depth(value), far_m, out])
        np.testing.assert_array_equal(out.numpy(), np.float32(expected))
    cache.launch(keep_below, (1, 1), [depth(4.0), 5.0, out])
    np.testing.assert_array_equal(out.numpy(), [[4.0, 1.0, 1.0], [1.0, 1.0, 1.0]])


def test_the_same_launch_reads_what_the_array_holds_now() -> None:
    cache = LaunchCache(require_device("cpu"))
    source, out = depth(1.0), depth(0.0)
    for value in (3.0, 4.0):
        source.fill_(value)
        cache.launch(keep_below, (2, 3), [source, 9.0, out])
        np.testing.assert_array_equal(out.numpy(), np.float32(value))
    assert len(cache._recorded) == 1


def test_new_arrays_every_time_are_not_kept_for_ever() -> None:
    cache = LaunchCache(require_device("cpu"))
    out = depth(0.0)
    for number in range(3 * module._CAPACITY):
        cache.launch(keep_below, (2, 3), [depth(1.0 + number), 1e6, out])
        np.testing.assert_array_equal(out.numpy(), np.float32(1.0 + number))
        assert len(cache._recorded) <= module._CAPACITY


def test_an_array_that_changes_every_time_is_one_launch() -> None:
    cache = LaunchCache(require_device("cpu"))
    out = depth(0.0)
    for value in (1.0, 2.0, 3.0):
        cache.launch(keep_below, (2, 3), [depth(value), 9.0, out], changing=(0,))
        np.testing.assert_array_equal(out.numpy(), np.float32(value))
    assert len(cache._recorded) == 1
    cache.launch(keep_below, (2, 3), [depth(4.0), 3.5, out], changing=(0,))  # another number is another launch
    np.testing.assert_array_equal(out.numpy(), np.float32(0.0))
    assert len(cache._recorded) == 2


def test_a_number_that_changes_every_time_is_one_launch() -> None:
    cache = LaunchCache(require_device("cpu"))
    out = depth(0.0)
    for far_m, expected in ((5.0, 3.0), (2.0, 0.0), (4.0, 3.0)):
        cache.launch(keep_below, (2, 3), [depth(3.0), far_m, out], changing=(0, 1))
        np.testing.assert_array_equal(out.numpy(), np.float32(expected))
    assert len(cache._recorded) == 1


def test_a_recorded_launch_lists_its_arguments_once_per_name_and_size() -> None:
    launches = RecordedLaunches(require_device("cpu"))
    source, out, listed = depth(1.0), depth(0.0), []

    def inputs() -> list[object]:
        listed.append(None)
        return [source, 9.0, out]

    for value, dim in ((3.0, (2, 3)), (4.0, (2, 3)), (5.0, (1, 3))):
        source.fill_(value)
        launches.launch("keep", keep_below, dim, inputs)
        np.testing.assert_array_equal(out.numpy()[0], np.float32(value))
    assert len(listed) == 2
    launches.clear()
    launches.launch("keep", keep_below, (2, 3), inputs)
    assert len(listed) == 3
