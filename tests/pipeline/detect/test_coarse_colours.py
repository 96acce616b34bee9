"""Cells of made-up prints, where the agreement is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.pipeline.detect.coarse_colours import CoarseColours, ColourCells, compare_cells
from storm_edge.pipeline.detect.config import PoseFeatureConfig

CONFIG = PoseFeatureConfig()
SIDE_PX = 96


def compared(
    model: NDArray[np.float64], image: NDArray[np.float64], seen: NDArray[np.bool_] | None = None
) -> CoarseColours:
    """Of two images ``(S, S, 3)`` of a square model, of which ``seen`` is seen."""
    whole = np.ones(model.shape[:2], dtype=bool)
    agrees = whole if seen is None else seen
    cells = ColourCells.of(
        whole, agrees, model[agrees].astype(np.float32), image[agrees].astype(np.float32), CONFIG.coarse
    )
    return compare_cells(cells, CONFIG.gain_floor, CONFIG.coarse)


@pytest.fixture
def stripes() -> NDArray[np.float64]:
    """Red and white, each as wide as two cells."""
    wide = SIDE_PX // 4
    red = (np.arange(SIDE_PX) // wide % 2 == 0)[None, :, None]
    return np.broadcast_to(np.where(red, [0.8, 0.1, 0.1], [0.9, 0.9, 0.9]), (SIDE_PX, SIDE_PX, 3)).copy()


def test_light_and_a_shift_of_a_few_pixels_change_little(stripes: NDArray[np.float64]) -> None:
    same = compared(stripes, stripes)
    assert same.pattern > 0.99
    assert same.residual < 0.02
    shifted = compared(stripes, 0.6 * np.roll(stripes, 2, axis=1) * [1.1, 1.0, 0.9])
    assert shifted.pattern > 0.9
    assert shifted.residual < 0.15


def test_another_paint_is_another_thing(stripes: NDArray[np.float64]) -> None:
    turned = compared(stripes, stripes.transpose(1, 0, 2))
    assert abs(turned.pattern) < 0.1
    assert turned.residual > 0.3
    grey = compared(stripes, np.full_like(stripes, 0.5))
    assert abs(grey.pattern) < 0.1
    assert grey.residual > 0.2


def test_a_plain_model_has_no_pattern_to_agree_with(stripes: NDArray[np.float64]) -> None:
    plain = np.full_like(stripes, 0.6) + 0.001 * stripes
    assert abs(compared(plain, stripes).pattern) < 0.02


def test_what_is_hidden_is_not_compared(stripes: NDArray[np.float64]) -> None:
    image = stripes.copy()
    image[SIDE_PX // 2 :] = [0.0, 0.6, 0.0]
    seen = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    seen[: SIDE_PX // 2] = True
    assert compared(stripes, image, seen).pattern > 0.99
    assert compared(stripes, image).pattern < 0.5
    nothing = compared(stripes, image, np.zeros_like(seen))
    assert nothing == CoarseColours(residual=CONFIG.coarse.max_residual)
