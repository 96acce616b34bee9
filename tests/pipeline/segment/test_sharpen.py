"""Prompts from drawn masks, upstream's choice among masks, and answers that agree or do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.engines.contract import EngineSpec, TensorSpec
from storm_edge.errors import FrameError, MaskError
from storm_edge.pipeline.segment.config import SharpenConfig
from storm_edge.pipeline.segment.sharpen import Sharpener, choose_mask, prompt_of

SIZE_PX = 64
CONFIG = SharpenConfig()
FLOAT = np.dtype(np.float32)


class Scripted:
    """An engine that notes what it was given and gives what it was told."""

    def __init__(self, inputs: Mapping[str, tuple[int, ...]], answer: dict[str, NDArray[Any]]) -> None:
        tensors = tuple(TensorSpec(name=k, dtype=FLOAT, shape=v) for k, v in inputs.items())
        self.spec = EngineSpec(name="scripted", inputs=tensors, outputs=(), sha256="0" * 64)
        self.answer = answer
        self.given: dict[str, NDArray[Any]] = {}

    def bind(self, buffers: Mapping[str, Any]) -> None:
        raise AssertionError("the stage runs on NumPy arrays")

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        raise AssertionError("the stage runs on NumPy arrays")

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.given = dict(inputs)
        return self.answer


def sharpener(logits: NDArray[np.float32], *, iou: float = 0.9) -> tuple[Sharpener, Scripted, Scripted]:
    masks = np.stack([logits] * 4)[None]
    encoder = Scripted({"image": (1, 3, SIZE_PX, SIZE_PX)}, {"image_embed": np.zeros(1, dtype=np.float32)})
    scores = {"iou": np.full((1, 4), iou, dtype=np.float32), "present": np.full((1, 1), 3.0, dtype=np.float32)}
    decoder = Scripted({"prompts": (1, 3, 2)}, {"masks": masks, **scores})
    return Sharpener(encoder, decoder, CONFIG), encoder, decoder


def test_prompt_is_padded_box_and_mean_of_the_largest_part() -> None:
    mask = np.zeros((60, 100), dtype=bool)
    mask[20:31, 40:61] = True  # 11 rows, 21 columns: a margin of int(0.1 * 20)
    mask[2, 2] = True  # a stray pixel
    np.testing.assert_array_equal(prompt_of(mask, padding=CONFIG.padding), [[38, 18], [62, 32], [50, 25]])


def test_box_stays_in_the_image() -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[:, :30] = True
    np.testing.assert_array_equal(prompt_of(mask, padding=CONFIG.padding)[:2], [[0, 0], [31, 30]])


def test_point_lies_on_the_object() -> None:
    mask = np.zeros((41, 41), dtype=bool)
    rows, columns = np.indices(mask.shape)
    radius = np.hypot(rows - 20, columns - 20)
    mask[(radius > 12) & (radius < 18)] = True  # a ring, its mean in the hole
    x, y = prompt_of(mask, padding=CONFIG.padding)[2].astype(int)
    assert mask[y, x]


def test_empty_mask_is_refused() -> None:
    with pytest.raises(MaskError, match="rough mask: got no pixels"):
        prompt_of(np.zeros((5, 5), dtype=bool), padding=CONFIG.padding)


@pytest.mark.parametrize(("uncertain", "chosen"), [(0, 0), (2, 0), (3, 2)])
def test_first_mask_counts_while_it_is_stable(uncertain: int, chosen: int) -> None:
    masks = np.full((4, 10, 20), -1.0, dtype=np.float32)
    masks[0, :5] = 1.0  # 100 cells; with 2 uncertain among them 98 % exceed the upper threshold, with 3 97 %
    masks[0].reshape(-1)[:uncertain] = 0.0
    assert choose_mask(masks, np.array([0.1, 0.3, 0.8, 0.5], dtype=np.float32)) == chosen


def test_first_mask_counts_if_it_is_empty() -> None:
    assert choose_mask(np.full((4, 5, 5), -1.0, dtype=np.float32), np.ones(4, dtype=np.float32)) == 0


def test_answer_that_agrees_is_accepted_in_image_pixels() -> None:
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[4:12, 4:12] = 5.0  # the middle half of the square that the image was stretched to
    stage, encoder, decoder = sharpener(logits)
    rgb = np.full((48, 96, 3), 255, dtype=np.uint8)
    stage.encode_image(rgb)
    np.testing.assert_allclose(
        encoder.given["image"][0, :, 5, 5], (1 - np.array((0.485, 0.456, 0.406))) / (0.229, 0.224, 0.225), rtol=1e-6
    )
    rough = np.zeros((48, 96), dtype=bool)
    rough[12:36, 22:74] = True
    answer = stage.sharpen(rough)
    expected = np.zeros_like(rough)
    expected[12:36, 24:72] = True
    assert np.count_nonzero(answer.mask != expected) <= 8  # resizing takes a pixel or two off each corner
    assert answer.accepted
    assert answer.iou == pytest.approx(48 / 52, abs=0.01)
    assert answer.presence_logit == 3.0
    # Corners (17, 7) and (78, 40) and the middle pixel, stretched by 64 / 96 and 64 / 48.
    np.testing.assert_allclose(decoder.given["prompts"][0] * (1.5, 0.75), [[17, 7], [78, 40], [47, 23]], atol=1e-4)


def test_answer_that_marks_something_else_is_refused() -> None:
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[:4, :4] = 5.0
    stage, _, _ = sharpener(logits)
    stage.encode_image(np.zeros((64, 64, 3), dtype=np.uint8))
    rough = np.zeros((64, 64), dtype=bool)
    rough[30:50, 30:50] = True
    assert not stage.sharpen(rough).accepted


def test_answer_that_sam2_doubts_is_refused() -> None:
    stage, _, _ = sharpener(np.full((16, 16), 5.0, dtype=np.float32), iou=0.3)
    stage.encode_image(np.zeros((64, 64, 3), dtype=np.uint8))
    answer = stage.sharpen(np.ones((64, 64), dtype=bool))
    assert answer.iou == 1.0
    assert not answer.accepted


def test_mask_of_another_image_is_refused() -> None:
    stage, _, _ = sharpener(np.zeros((16, 16), dtype=np.float32))
    stage.encode_image(np.zeros((64, 64, 3), dtype=np.uint8))
    with pytest.raises(FrameError, match=r"got \(5, 5\), expected \(64, 64\)"):
        stage.sharpen(np.ones((5, 5), dtype=bool))
