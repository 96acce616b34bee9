"""Frames are checked where they enter."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import CameraError, DepthError, FrameError
from storm_edge.frame import checked_frame

K = np.array([[100.0, 0.0, 2.0], [0.0, 100.0, 1.5], [0.0, 0.0, 1.0]])


def images() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((4, 5, 3), dtype=np.uint8), np.full((4, 5), 0.7, dtype=np.float32)


def test_readings_that_are_none_become_zero() -> None:
    rgb, depth = images()
    depth[0] = [np.nan, np.inf, -np.inf, -0.3, 0.5]
    frame = checked_frame(rgb, depth, K)
    np.testing.assert_array_equal(frame.depth_m[0], np.float32([0, 0, 0, 0, 0.5]))
    assert frame.size_px == (4, 5)


@pytest.mark.parametrize("rgb", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3))])
def test_colour_of_another_kind(rgb: np.ndarray) -> None:
    with pytest.raises(FrameError, match="uint8"):
        checked_frame(rgb, images()[1], K)


def test_depth_of_another_size() -> None:
    with pytest.raises(FrameError, match=r"frame 7 depth: got \(2, 5\)"):
        checked_frame(images()[0], images()[1][:2], K, what="frame 7")


def test_depth_in_integers_is_not_metres() -> None:
    with pytest.raises(DepthError, match="depth scale"):
        checked_frame(images()[0], np.full((4, 5), 700), K)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_depth_without_a_reading(value: float) -> None:
    with pytest.raises(DepthError, match="no pixel with a reading"):
        checked_frame(images()[0], np.full((4, 5), value, np.float32), K)


def test_camera_is_checked() -> None:
    with pytest.raises(CameraError, match="fx=0"):
        checked_frame(*images(), np.diag([0.0, 1.0, 1.0]))
