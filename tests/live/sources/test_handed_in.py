from __future__ import annotations

import numpy as np

from storm_edge.frame import Frame
from storm_edge.live.sources import SourceState
from storm_edge.live.sources.handed_in import HandedIn


def frame(number: int) -> Frame:
    rgb, depth_m = np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), np.float32)
    return Frame(rgb=rgb, depth_m=depth_m, K=np.eye(3), index=number)


def test_the_newest_frame_is_given_once_and_others_are_counted() -> None:
    source = HandedIn(60.0)
    assert source.status.state is SourceState.OPENING
    for number in range(3):
        source.hand_in(frame(number))
    given = source.poll(0.0)
    assert isinstance(given, Frame)
    assert given.index == 2
    assert source.poll(0.0) is None
    assert source.status.state is SourceState.RUNNING
    assert source.status.counts == {"handed_in": 3, "passed_over": 2}


def test_silence_is_a_stall_and_the_end_is_told_after_the_last_frame() -> None:
    source = HandedIn(0.0)
    source.hand_in(frame(0))
    assert source.status.state is SourceState.STALLED
    source.end()
    assert source.status.state is not SourceState.ENDED
    assert source.poll(0.0) is not None
    assert source.status.state is SourceState.ENDED
