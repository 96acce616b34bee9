"""An image on the device: what is uploaded is what is read, and depth is filtered where it is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.errors import CameraError, FrameError
from storm_edge.frame import Frame
from storm_edge.kernels.depth import UPSTREAM_FILTER
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

SIZE = (240, 320)
K = np.array([[300.0, 0.0, 160.0], [0.0, 305.0, 120.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def frame(rng: np.random.Generator) -> Frame:
    depth = rng.normal(0.6, 0.0005, SIZE).astype(np.float32)
    return Frame(rgb=rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), depth_m=depth, K=K, index=0)


def uploaded(frame: Frame) -> FrameBuffers:
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    return buffers


def test_an_upload_replaces_the_image(frame: Frame) -> None:
    buffers = uploaded(frame)
    moved_K = K + np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    for now in (frame, replace(frame, rgb=255 - frame.rgb, depth_m=frame.depth_m + np.float32(0.1), K=moved_K)):
        buffers.upload(now)
        np.testing.assert_array_equal(buffers.rgb.numpy(), now.rgb)
        np.testing.assert_array_equal(buffers.depth.numpy(), now.depth_m)
        np.testing.assert_array_equal(buffers.K, now.K)
        np.testing.assert_array_equal(buffers.K_device.numpy()[0], now.K)


def test_a_frame_of_another_size_is_refused_in_one_line(frame: Frame) -> None:
    with pytest.raises(FrameError, match="changes its resolution"):
        FrameBuffers(480, 640).upload(frame)


def test_intrinsics_that_no_camera_has_are_refused_and_change_nothing(frame: Frame) -> None:
    buffers = uploaded(frame)
    with pytest.raises(CameraError, match="frame 5 K: got NaN or infinite entries"):
        buffers.upload(replace(frame, K=np.full((3, 3), np.nan), rgb=255 - frame.rgb, index=5))
    np.testing.assert_array_equal(buffers.K, frame.K)
    np.testing.assert_array_equal(buffers.rgb.numpy(), frame.rgb)


def test_filtering_a_growing_region_equals_filtering_all(frame: Frame) -> None:
    piecewise, whole = uploaded(frame), uploaded(frame)
    expected = whole.filtered_depth(UPSTREAM_FILTER).numpy()
    assert (expected > 0).mean() > 0.2
    for x, y, w, h in [(150, 100, 40, 30), (160, 110, 10, 10), (130, 80, 30, 90)]:
        part = piecewise.filtered_depth(UPSTREAM_FILTER, (x, y, w, h)).numpy()
        np.testing.assert_array_equal(part[y : y + h, x : x + w], expected[y : y + h, x : x + w])
    piecewise.upload(replace(frame, depth_m=np.full(SIZE, 0.5, np.float32)))
    assert piecewise.filtered_depth(UPSTREAM_FILTER, (150, 100, 5, 5)).numpy()[102, 152] == pytest.approx(0.5)
