"""Arrays of a program become checked, numbered frames, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from storm_edge.errors import DepthError
from storm_edge.live import SkipReason, open_session
from storm_edge.live.sources.arrays import ArraySource, CameraImages

K = np.array([[100.0, 0.0, 3.5], [0.0, 100.0, 2.5], [0.0, 0.0, 1.0]])


def images(stamp_ns: int, depth: np.ndarray | None = None) -> CameraImages:
    rgb = np.full((6, 8, 3), 7, np.uint8)
    return CameraImages(rgb=rgb, depth_m=np.ones((6, 8)) if depth is None else depth, K=K, stamp_ns=stamp_ns)


def test_frames_are_numbered_and_keep_their_stamps() -> None:
    frames = list(ArraySource([images(10), images(20)]))
    assert [(frame.index, frame.stamp_ns) for frame in frames] == [(0, 10), (1, 20)]
    assert frames[0].depth_m.dtype == np.float32


def test_readings_that_are_none_become_zero() -> None:
    depth_m = np.ones((6, 8))
    depth_m[0, :3] = np.nan, -1.0, np.inf
    (frame,) = ArraySource([images(0, depth_m)])
    assert frame.depth_m[0, :4].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_a_frame_without_a_reading_is_handed_on_and_the_session_skips_it() -> None:
    frames = list(ArraySource([images(1), images(2, np.full((6, 8), np.nan)), images(3)]))
    assert [frame.index for frame in frames] == [0, 1, 2]
    with open_session([], None) as session:
        skipped = [session.step(frame).skipped_reason for frame in frames]
    assert skipped == [None, SkipReason.NO_DEPTH, None]


def test_images_are_taken_when_they_are_asked_for() -> None:
    taken: list[int] = []

    def camera() -> Iterator[CameraImages]:
        for stamp_ns in range(3):
            taken.append(stamp_ns)
            yield images(stamp_ns)

    next(iter(ArraySource(camera())))
    assert taken == [0]


def test_a_wrong_image_is_named_by_its_number() -> None:
    source = iter(ArraySource([images(0), images(1, np.ones((6, 8), np.uint16))]))
    next(source)
    with pytest.raises(DepthError, match="frame 1 depth"):
        next(source)
