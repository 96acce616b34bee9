"""Confidence against the three ways in which a track fails, with numbers read off recordings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from storm_edge.pipeline.track.confidence import colour_doubt, pose_confidence
from storm_edge.pipeline.track.config import ConfidenceConfig

CONFIG = ConfidenceConfig()


def confidence(visible: ArrayLike, residual: ArrayLike, occluded: ArrayLike) -> np.ndarray:
    return pose_confidence(visible, residual, occluded, config=CONFIG)


@pytest.mark.parametrize(
    ("what", "visible", "residual", "occluded", "believed"),
    [
        ("in full view", 0.96, 0.08, 0.0, True),
        ("half behind a board", 0.97, 0.11, 0.54, True),
        ("a blurred mug in a hand", 0.63, 0.47, 0.2, True),
        ("flat on the table instead", 0.97, 0.68, 0.26, False),
        ("hanging in the air", 0.02, 0.97, 0.0, False),
        ("the wrong side to the camera", 0.28, 0.75, 0.21, False),
        ("a sliver beside the board", 0.94, 0.06, 0.96, False),
        ("completely hidden", 0.0, 1.0, 1.0, False),
    ],
)
def test_right_is_believed_and_wrong_is_not(
    what: str, visible: float, residual: float, occluded: float, believed: bool
) -> None:
    assert (confidence(visible, residual, occluded) >= 0.5) == believed, what


def test_the_lowest_number_decides() -> None:
    assert confidence(0.9, 0.2, 0.0) == pytest.approx(0.8)
    assert confidence(0.7, 0.2, 0.0) == pytest.approx(0.7)


def test_confidence_fades_with_the_last_quarter_that_is_seen() -> None:
    hidden = np.array([0.0, 1.0 - CONFIG.full_visible_share, 1.0 - 0.5 * CONFIG.full_visible_share, 1.0])
    np.testing.assert_allclose(confidence(0.9, 0.1, hidden), [0.9, 0.9, 0.45, 0.0])


def test_colours_count_where_noise_hides_the_shape() -> None:
    same, other = 0.3, 0.65
    assert colour_doubt(other, 0.0, config=CONFIG) == 0.0  # near: depth tells them apart
    assert colour_doubt(same, 0.8, config=CONFIG) == 0.0
    assert colour_doubt(other, 0.8, config=CONFIG) == pytest.approx(0.8)
    doubted = pose_confidence(0.8, 0.2, 0.0, config=CONFIG, colour_doubt=colour_doubt(other, 0.8, config=CONFIG))
    assert doubted == pytest.approx(0.16)


def test_without_doubt_confidence_is_what_it_was_bit_by_bit(rng: np.random.Generator) -> None:
    values = rng.uniform(0.0, 1.0, (3, 500))
    none = colour_doubt(rng.uniform(0.0, 1.0, 500), 0.0, config=CONFIG)
    np.testing.assert_array_equal(pose_confidence(*values, config=CONFIG, colour_doubt=none), confidence(*values))


def test_confidence_stays_within_0_and_1(rng: np.random.Generator) -> None:
    values = confidence(rng.uniform(-1, 2, 500), rng.uniform(-1, 2, 500), rng.uniform(-1, 2, 500))
    assert values.min() >= 0.0
    assert values.max() <= 1.0
