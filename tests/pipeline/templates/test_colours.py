"""Colours of a template of four points whose colours in the image are known."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.templates.colours import colour_worths
from storm_edge.pipeline.templates.config import MatchConfig
from storm_edge.pipeline.templates.matched_image import MatchedImage
from storm_edge.pipeline.templates.views import ShapeTemplates

CONFIG = MatchConfig(min_coloured_points=2)
SIZE_PX, FOCAL_PX, DEPTH_M, GATE_M = 20, 100.0, 1.0, 0.01
PAINTED = np.array([[0.9, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.9], [0.7, 0.7, 0.1]], dtype=np.float32)
PLAIN = np.full((4, 3), 0.5, dtype=np.float32)
AT_PX = np.array([[8, 8], [12, 8], [8, 12], [12, 12]])
"""Columns and rows at which the four points are seen."""


def templates(colours: np.ndarray) -> ShapeTemplates:
    offset = (AT_PX - 10.0) / FOCAL_PX * DEPTH_M
    surface = np.concatenate([offset, np.zeros((4, 1))], axis=1)[None].astype(np.float32)
    return ShapeTemplates(
        rotations=np.eye(3)[None],
        surface=surface,
        normals=np.tile(np.float32([0.0, 0.0, -1.0]), (1, 4, 1)),
        colours=colours[None],
        anchors=np.zeros((1, 1), dtype=np.int64),
        beside=surface,
        outline=surface,
        outwards=surface[..., :2],
    )


def image(colours: np.ndarray, depth_m: float = DEPTH_M) -> MatchedImage:
    """The four points in front of nothing; what is between them is black."""
    rgb = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.float32)
    rgb[AT_PX[:, 1], AT_PX[:, 0]] = colours
    flags = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    return MatchedImage(
        depth_m=np.full((SIZE_PX, SIZE_PX), depth_m, dtype=np.float32),
        normals=np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.float32),
        stands_out=flags,
        on_plane=flags,
        edges=flags.astype(np.uint8),
        rgb=rgb,
        K=np.array([[FOCAL_PX, 0.0, 10.0], [0.0, FOCAL_PX, 10.0], [0.0, 0.0, 1.0]]),
    )


def worth(model: np.ndarray, seen: MatchedImage, centre: tuple[float, float, float] = (0.0, 0.0, DEPTH_M)) -> float:
    view, at = np.zeros(1, dtype=np.int64), np.array([centre], dtype=np.float32)
    return float(run_to_completion(colour_worths(templates(model), view, at, seen, GATE_M, CONFIG))[0])


def test_the_models_own_colours_are_worth_all_that_a_pattern_is_in_any_brightness() -> None:
    for brightness in (1.0, 0.5):
        assert worth(PAINTED, image(brightness * PAINTED)) == pytest.approx(CONFIG.pattern_weight, abs=0.03)


def test_another_side_and_other_colours_are_worth_less() -> None:
    right = worth(PAINTED, image(PAINTED))
    turned = worth(PAINTED, image(PAINTED[::-1]))
    assert turned < right - 0.3
    red = np.tile(np.float32([0.9, 0.1, 0.1]), (4, 1))
    assert worth(PLAIN, image(red)) < -0.5 * CONFIG.imbalance_weight
    assert worth(PLAIN, image(red)) >= -CONFIG.imbalance_weight * CONFIG.max_imbalance


def test_a_plain_model_has_no_pattern_and_light_of_a_colour_counts_little() -> None:
    assert worth(PLAIN, image(PLAIN)) == pytest.approx(0.0, abs=1e-3)
    warm = PLAIN * np.float32([1.1, 1.0, 0.9])
    assert -0.15 < worth(PLAIN, image(warm)) < 0.0


def test_what_is_hidden_or_outside_the_image_says_nothing() -> None:
    assert worth(PAINTED, image(PAINTED[::-1], depth_m=0.5)) == 0.0
    assert worth(PAINTED, image(PAINTED), (5.0, 0.0, DEPTH_M)) == 0.0
    assert worth(PAINTED, image(PAINTED, depth_m=0.0)) == pytest.approx(CONFIG.pattern_weight, abs=0.03), "no reading"
