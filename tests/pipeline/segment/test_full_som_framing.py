"""Images and masks through every framing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.choices import Framing
from storm_edge.pipeline.segment.full_som_framing import image_logits, square_image

MEAN = np.array((0.485, 0.456, 0.406))
DEVIATION = np.array((0.229, 0.224, 0.225))


def logits_of(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A perfect SOM for white objects on black: red of the square by cells, as logits."""
    red = (picture[0, 0] * DEVIATION[0] + MEAN[0]).astype(np.float32)
    return 20 * (cv2.resize(red, (64, 64), interpolation=cv2.INTER_AREA) - np.float32(0.5))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def scene(size: tuple[int, int], rows: slice, columns: slice) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    mask = np.zeros(size, dtype=bool)
    mask[rows, columns] = True
    return np.repeat(np.where(mask, 255, 0)[..., None], 3, axis=2).astype(np.uint8), mask


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (300, 300)])
@pytest.mark.parametrize("framing", [Framing.LETTERBOX, Framing.CENTRE])
def test_masks_come_back_where_they_were(size: tuple[int, int], framing: Framing) -> None:
    middle = tuple(n // 2 for n in size)
    rgb, truth = scene(size, slice(middle[0] - 60, middle[0] + 40), slice(middle[1] - 30, middle[1] + 80))
    found = image_logits(logits_of(square_image(rgb, framing)), size, framing) >= 0
    assert iou(found, truth) > 0.93  # worst seen 0.95: cells of 10 px


def test_letterbox_sees_the_border_and_the_centre_crop_does_not() -> None:
    size = (480, 640)
    rgb, truth = scene(size, slice(200, 280), slice(0, 70))
    found = image_logits(logits_of(square_image(rgb)), size) >= 0
    assert iou(found, truth) > 0.9
    beside = image_logits(logits_of(square_image(rgb, Framing.CENTRE)), size, Framing.CENTRE)
    assert np.isneginf(beside[:, :80]).all()
    assert np.isneginf(beside[:, 560:]).all()
    assert np.isfinite(beside[:, 80:560]).all()


def test_upstream_misplaces_what_is_beside_the_middle() -> None:
    """The published defect: 60 x 80 px at x 480-540 of a 640 x 480 image come back at x 535-615."""
    size = (480, 640)
    rgb, truth = scene(size, slice(200, 280), slice(480, 540))
    found = image_logits(logits_of(square_image(rgb, Framing.UPSTREAM)), size, Framing.UPSTREAM) >= 0
    columns = np.flatnonzero(found.any(axis=0))
    assert abs(columns[0] - 535) < 8
    assert abs(columns[-1] - 615) < 8
    assert iou(found, truth) < 0.1


@pytest.mark.parametrize("framing", list(Framing))
def test_colours_are_normalised(framing: Framing) -> None:
    rgb = np.broadcast_to(np.array((200, 100, 50), dtype=np.uint8), (240, 320, 3))
    square = square_image(np.ascontiguousarray(rgb), framing)
    assert square.shape == (1, 3, 224, 224)
    assert square.dtype == np.float32
    expected = (np.array((200, 100, 50)) / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(square[0, :, 112, 112], expected, atol=1e-5)
    if framing is Framing.LETTERBOX:
        np.testing.assert_array_equal(square[0, :, :28], 0.0)  # 320 to 224 makes 240 to 168
