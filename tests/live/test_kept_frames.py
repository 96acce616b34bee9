"""What is kept while an object is searched for: evenly spaced from where the search began, within a limit."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.live.kept_frames import KeptFrames

CAPACITY = 6


def frame(index: int) -> Frame:
    return Frame(rgb=np.zeros((2, 2, 3), np.uint8), depth_m=np.ones((2, 2), np.float32), K=np.eye(3), index=index)


def indices(kept: KeptFrames, first: int) -> list[int]:
    """What a search that began at a frame is propagated over, with that frame."""
    found, at = [first], frame(first)
    while (newer := kept.next_after(at)) is not None:
        found.append(newer.index)
        at = newer
    return found


@pytest.mark.parametrize("count", range(2, 100))
def test_frames_are_evenly_spaced_up_to_the_newest(count: int) -> None:
    kept = KeptFrames(CAPACITY)
    kept.add(frame(7))
    kept.begin_at(kept.newest)
    for index in range(8, 7 + count):
        kept.add(frame(index))
    found = indices(kept, 7)
    assert kept.newest.index == found[-1] == 6 + count
    assert len(found) <= CAPACITY
    steps = np.diff(found)
    assert len(set(steps[:-1])) <= 1
    assert steps[-1] <= steps[0]
    assert steps[0] <= max(1, 2 * count / (CAPACITY - 2))  # no step is much longer than it must be
    if count <= CAPACITY:
        assert found == list(range(7, 7 + count))


def test_a_new_search_begins_at_the_newest_frame_with_all_that_come_after_it() -> None:
    kept = KeptFrames(CAPACITY)
    for index in range(50):
        kept.add(frame(index))
    kept.begin_at(kept.newest)
    for index in range(50, 55):
        kept.add(frame(index))
    assert indices(kept, 49) == list(range(49, 55))


def test_nothing_is_kept_after_clearing() -> None:
    kept = KeptFrames(CAPACITY)
    for index in range(20):
        kept.add(frame(index))
    kept.clear()
    assert kept.next_after(frame(0)) is None
    kept.add(frame(20))
    kept.add(frame(21))
    assert indices(kept, 20) == [20, 21]
