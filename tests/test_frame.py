"""Frames are checked where they enter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from storm_edge.errors import CameraError, DepthError, FrameError, InputError, UnitError
from storm_edge.frame import Frame, checked_frame

K = np.array([[100.0, 0.0, 2.0], [0.0, 100.0, 1.5], [0.0, 0.0, 1.0]])


def images() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((4, 5, 3), dtype=np.uint8), np.full((4, 5), 0.7, dtype=np.float32)


def test_readings_that_are_none_become_zero() -> None:
    rgb, depth = images()
    depth[0] = [np.nan, np.inf, -np.inf, -0.3, 0.5]
    frame = checked_frame(rgb, depth, K, index=0)
    np.testing.assert_array_equal(frame.depth_m[0], np.float32([0, 0, 0, 0, 0.5]))
    assert frame.size_px == (4, 5)


@pytest.mark.parametrize("rgb", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3))])
def test_colour_of_another_kind(rgb: np.ndarray) -> None:
    with pytest.raises(FrameError, match="uint8"):
        checked_frame(rgb, images()[1], K, index=0)


def test_depth_of_another_size() -> None:
    with pytest.raises(FrameError, match=r"frame 7 depth: got \(2, 5\)"):
        checked_frame(images()[0], images()[1][:2], K, index=7, what="frame 7")


def test_depth_in_integers_is_not_metres() -> None:
    with pytest.raises(DepthError, match="depth scale"):
        checked_frame(images()[0], np.full((4, 5), 700), K, index=0)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_depth_without_a_reading(value: float) -> None:
    with pytest.raises(DepthError, match="no pixel with a reading"):
        checked_frame(images()[0], np.full((4, 5), value, np.float32), K, index=0)


def test_camera_is_checked() -> None:
    with pytest.raises(CameraError, match="fx=0"):
        checked_frame(*images(), np.diag([0.0, 1.0, 1.0]), index=0)


def test_depth_in_millimetres_is_refused() -> None:
    rgb, depth = images()
    with pytest.raises(UnitError, match=r"frame 7 depth: got a median of 700, .*0.001 for millimetres"):
        checked_frame(rgb, depth * 1000, K, index=7, what="frame 7")


def test_single_readings_far_away_are_no_other_unit() -> None:
    """A depth camera may answer anything at the rim of an object."""
    rgb, depth = np.zeros((64, 64, 3), dtype=np.uint8), np.full((64, 64), 0.7, dtype=np.float32)
    depth[:16] = 5000.0
    depth[16:32] = 0.0
    assert checked_frame(rgb, depth, K, index=0).depth_m[0, 0] == 5000.0


def test_a_checked_frame_converts_what_can_be_converted() -> None:
    rgb, depth = images()
    frame = checked_frame(rgb[:, ::-1], depth.astype(np.float64), K.tolist(), index=3)
    assert frame.depth_m.dtype == np.float32
    assert frame.K.dtype == np.float64
    assert frame.rgb.flags.c_contiguous


BAD_PARTS = {
    "grey colour": ({"rgb": np.zeros((4, 5), np.uint8)}, FrameError, r"frame 2 rgb: got uint8 \(4, 5\)"),
    "colour in floats": ({"rgb": np.zeros((4, 5, 3))}, FrameError, r"got float64 \(4, 5, 3\), expected uint8"),
    "colour as a list": ({"rgb": [[0, 0, 0]]}, FrameError, "got a list, expected uint8"),
    "no colour": ({"rgb": None}, FrameError, "got a NoneType, expected uint8"),
    "depth of another size": (
        {"depth_m": np.ones((2, 5), np.float32)},
        FrameError,
        r"got \(2, 5\), expected \(4, 5\)",
    ),
    "depth with an axis too many": ({"depth_m": np.ones((4, 5, 1), np.float32)}, FrameError, r"got \(4, 5, 1\)"),
    "no depth": ({"depth_m": None}, FrameError, "got a NoneType"),
    "depth in doubles": ({"depth_m": np.ones((4, 5))}, DepthError, r"got float64 depth, .*astype\(np.float32\)"),
    "depth in millimetres": (
        {"depth_m": np.ones((4, 5), np.uint16)},
        DepthError,
        "uint16 depth, .*0.001 for millimetres",
    ),
    "K as a list": (
        {"K": K.tolist()},
        CameraError,
        r"frame 2 K: got a list, expected float64 array \(3, 3\); give np.array",
    ),
    "K of another shape": ({"K": np.eye(4)}, CameraError, r"got float64 \(4, 4\)"),
    "K in floats": ({"K": K.astype(np.float32)}, CameraError, r"got float32 \(3, 3\)"),
    "no index": (
        {"index": None},
        FrameError,
        "frame index: got None, expected a whole number; give every frame its number",
    ),
    "index as text": ({"index": "000002"}, FrameError, "got '000002', expected a whole number"),
    "stamp in seconds": ({"stamp_ns": 0.5}, FrameError, "frame stamp_ns: got 0.5, expected a whole number"),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_a_frame_of_wrong_types_or_shapes_is_refused_in_one_line(name: str) -> None:
    parts, error, words = BAD_PARTS[name]
    rgb, depth = images()
    given: dict[str, Any] = {"rgb": rgb, "depth_m": depth, "K": K, "index": 2, **parts}
    with pytest.raises(error, match=words) as caught:
        Frame(**given)
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


def test_a_frame_without_an_index_is_refused() -> None:
    rgb, depth = images()
    with pytest.raises(FrameError, match="give every frame its number"):
        Frame(rgb=rgb, depth_m=depth, K=K)


def test_a_frame_reads_no_pixel() -> None:
    """What is in the arrays is checked by `checked_frame` alone: each frame is made anew, at no cost that grows."""
    rgb, depth = images()
    frame = Frame(rgb=rgb, depth_m=np.full_like(depth, np.nan), K=np.full_like(K, np.nan), index=0)
    assert replace(frame, index=1).depth_m is frame.depth_m
