"""What scripted logits come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.choices import Framing
from storm_edge.engines.contract import EngineSpec
from storm_edge.pipeline.segment.config import FullSomConfig
from storm_edge.pipeline.segment.full_som import FullSom
from storm_edge.pipeline.segment.full_som_views import reference_views
from tests.tiny_scene import box_mesh


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
    np.testing.assert_array_equal(FullSom.encode_object(reference, reference_views(box_mesh()))["k0"], 1.0)
