"""Images and masks through every framing, the reference views by geometry, and what scripted logits come to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from storm_edge.choices import Framing
from storm_edge.engines.contract import EngineSpec
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.pipeline.segment.config import FullSomConfig
from storm_edge.pipeline.segment.full_som import FullSom, image_logits, reference_views, square_image

MEAN = np.array((0.485, 0.456, 0.406))
DEVIATION = np.array((0.229, 0.224, 0.225))


class Scripted:
    """An engine that gives what it was told."""

    def __init__(self, answer: dict[str, NDArray[Any]], sha256: str = "a" * 64) -> None:
        self.spec = EngineSpec(name="scripted", inputs=(), outputs=(), sha256=sha256)
        self.answer = answer

    def bind(self, buffers: Mapping[str, Any]) -> None:
        raise AssertionError("the stage runs on NumPy arrays")

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        raise AssertionError("the stage runs on NumPy arrays")

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self.answer


def box(x_m: float, y_m: float, z_m: float) -> Mesh:
    """A box, red where z is positive and blue where it is negative."""
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    faces = ConvexHull(corners).simplices
    a, b, c = corners[faces].transpose(1, 0, 2)
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a) < 0
    faces[inward] = faces[inward][:, ::-1]
    colours = np.where(corners[:, 2:] > 0, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    return make_mesh(corners * (x_m, y_m, z_m), faces, colours=colours)


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


def test_views_show_the_object_upright_on_grey() -> None:
    views = reference_views(box(0.04, 0.04, 0.2))
    assert views.shape == (16, 3, 224, 224)
    pictures = views.transpose(0, 2, 3, 1) * DEVIATION + MEAN
    np.testing.assert_allclose(pictures[:, 0, 0], 0.5, atol=1e-6)
    shown = np.abs(pictures - 0.5).max(axis=-1) > 0.02
    redness = np.where(shown, pictures[..., 0] - pictures[..., 2], 0.0)
    sides = slice(3, 13)  # seen from there, neither end hides the other
    assert (redness[sides, :80].sum(axis=(1, 2)) > 0).all()
    assert (redness[sides, 144:].sum(axis=(1, 2)) < 0).all()
    height = shown.any(axis=2).sum(axis=1)
    distance_m = 1.5 * float(np.linalg.norm((0.04, 0.04, 0.2)))
    # Seen from 4 degrees above its middle, a 0.2 m edge that is 0.02 to 0.03 m nearer than the centre.
    nearest, furthest = (224 / 2 / np.tan(np.deg2rad(22.5)) * 0.2 / (distance_m - d) for d in (0.03, 0.0))
    assert furthest < height[7] < nearest + 3


def som(logits: NDArray[np.float32]) -> FullSom:
    tokens = Scripted({"tokens": np.zeros((1, 256, 8), dtype=np.float32)})
    return FullSom(tokens, Scripted({"logits": logits[None, None]}), FullSomConfig())


def found(logits: NDArray[np.float32], size_px: tuple[int, int]) -> tuple[NDArray[np.float32], float]:
    network = som(logits)
    return network.probability_map(network.encode_image(np.zeros((*size_px, 3), dtype=np.uint8)), {}, size_px)


def test_a_mark_comes_back_as_probability_at_image_size() -> None:
    logits = np.full((64, 64), -4.0, dtype=np.float32)
    logits[16:32, 16:48] = 4.0
    probability, present = found(logits, (128, 128))
    marked = np.argwhere(probability >= 0.5)
    np.testing.assert_allclose(marked.min(axis=0), (32, 32), atol=1)
    np.testing.assert_allclose(marked.max(axis=0) + 1, (64, 96), atol=1)
    assert present == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-3)


@pytest.mark.parametrize(("height", "cells"), [(-3.0, 20), (0.2, 20), (4.0, 1)])
def test_an_uncertain_or_tiny_mark_is_no_object(height: float, cells: int) -> None:
    logits = np.full((64, 64), -40.0, dtype=np.float32)
    logits[:cells, :cells] = height
    assert found(logits, (480, 480))[1] == 0.0


def test_outside_its_square_the_probability_is_zero() -> None:
    tokens = Scripted({"tokens": np.zeros((1, 256, 8), dtype=np.float32)})
    head = Scripted({"logits": np.full((1, 1, 64, 64), 5.0, dtype=np.float32)})
    centre = FullSom(tokens, head, FullSomConfig(framing=Framing.CENTRE))
    probability, _ = centre.probability_map(centre.encode_image(np.zeros((48, 64, 3), dtype=np.uint8)), {}, (48, 64))
    assert (probability[:, :8] == 0.0).all()
    assert (probability[:, 8:56] > 0.9).all()


def test_embedding_keeps_what_the_reference_network_gives() -> None:
    reference = Scripted({"k0": np.ones(3, np.float32)})
    np.testing.assert_array_equal(FullSom.encode_object(reference, box(0.1, 0.1, 0.1))["k0"], 1.0)
