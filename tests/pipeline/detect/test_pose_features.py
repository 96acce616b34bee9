"""Features of a pose, and the probability they make."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.pipeline.detect.config import PoseFeatureConfig, PresenceConfig
from storm_edge.pipeline.detect.pose_features import PoseFeatureExtractor, compare_colours, presence_probability
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.pipeline.detect.neutral import NEUTRAL
from tests.staged import Staged

GAIN_FLOOR = PoseFeatureConfig().gain_floor
PRESENCE = PresenceConfig()


def test_light_may_change_colours_but_not_one_by_one(rng: np.random.Generator) -> None:
    model = rng.uniform(0.2, 0.8, (200, 3)).astype(np.float32)
    darker = compare_colours(model, model * np.float32(0.7), GAIN_FLOOR)
    assert darker.imbalance < 0.03
    assert darker.residual < 0.02  # the grey that is mixed in
    assert darker.shift == pytest.approx(0.0, abs=1e-3)
    redder = compare_colours(model, model * np.array([1.0, 0.5, 0.5], dtype=np.float32), GAIN_FLOOR)
    # log 2, less the grey that is mixed in
    assert redder.imbalance == pytest.approx(np.log(2.0), abs=0.1)
    nothing = compare_colours(model[:0], model[:0], GAIN_FLOOR)
    assert (nothing.imbalance, nothing.residual, nothing.shift) == (0.0, 0.0, 0.0)


def test_the_shift_is_what_gains_of_single_channels_explain(rng: np.random.Generator) -> None:
    """By hand: white that became red. A gain for all makes a third of the square of red; one for each makes all."""
    white = np.ones((50, 3), dtype=np.float32)
    red = white * np.array([0.6, 0.0, 0.0], dtype=np.float32)
    assert compare_colours(white, red, GAIN_FLOOR).shift == pytest.approx(np.sqrt(2.0 / 3.0), abs=1e-4)
    # A channel that the model hardly has may be anything, as of a yellow thing in blue light.
    yellow = np.tile(np.array([1.0, 1.0, 0.1], dtype=np.float32), (50, 1))
    bluish = yellow * np.array([1.0, 1.0, 2.0], dtype=np.float32)
    compared = compare_colours(yellow, bluish, GAIN_FLOOR)
    assert compared.imbalance > 0.25
    assert compared.shift < 0.08


def test_a_usual_shift_of_colours_says_nothing_and_more_speaks_against() -> None:
    usual = replace(NEUTRAL, colour_shift=PRESENCE.usual_colour_shift)
    assert presence_probability(usual, None, 0.0, PRESENCE) == presence_probability(NEUTRAL, None, 0.0, PRESENCE)
    more = replace(NEUTRAL, colour_shift=PRESENCE.usual_colour_shift + 0.1)
    logit = PRESENCE.constant + 0.1 * PRESENCE.colour_shift
    assert presence_probability(more, None, 0.0, PRESENCE) == pytest.approx(1.0 / (1.0 + np.exp(-logit)))


def test_shade_says_nothing_and_what_is_much_darker_than_the_model_speaks_against_it() -> None:
    usual = replace(NEUTRAL, darkness=PRESENCE.usual_darkness)
    assert presence_probability(usual, None, 0.0, PRESENCE) == presence_probability(NEUTRAL, None, 0.0, PRESENCE)
    darker = replace(NEUTRAL, darkness=PRESENCE.usual_darkness + np.log(2.0))
    logit = PRESENCE.constant + np.log(2.0) * PRESENCE.darkness
    assert presence_probability(darker, None, 0.0, PRESENCE) == pytest.approx(1.0 / (1.0 + np.exp(-logit)))


def test_darkness_is_told_against_the_brightest_parts_of_the_image(
    staged: Staged, colour_segmenter: Segmenter
) -> None:
    """The mug at half its brightness is darker in a picture that stays as it is, and not in one of half the light."""
    extractor = PoseFeatureExtractor(staged.item, colour_segmenter.encode_object(staged.item), PoseFeatureConfig())

    def darkness(rgb: NDArray[np.uint8]) -> float:
        frame = replace(staged.frame(), rgb=rgb)
        visible = extractor.visible_model(frame, staged.T_cam_centre)
        image = colour_segmenter.encode_image(frame)
        return extractor.extract(image, staged.buffers(frame), staged.T_cam_centre, visible).darkness

    own, mask = staged.frame().rgb, staged.mask()
    darker = own.copy()
    darker[mask] //= 2
    # log 2, less the grey that is mixed in: 0.52 was seen
    assert darkness(darker) - darkness(own) == pytest.approx(np.log(2.0), abs=0.2)
    assert darkness(own // 2) <= darkness(own)


def test_probability_is_the_logistic_of_weighted_features() -> None:
    assert presence_probability(NEUTRAL, None, 0.0, PRESENCE) == pytest.approx(
        1.0 / (1.0 + np.exp(-PRESENCE.constant))
    )
    for name in ("visible", "pattern", "colour", "imbalance", "residual", "contour", "depth"):
        features = replace(NEUTRAL, **{name: 0.5})
        logit = PRESENCE.constant + 0.5 * getattr(PRESENCE, name) - 0.3
        assert presence_probability(features, None, -0.3, PRESENCE) == pytest.approx(1.0 / (1.0 + np.exp(-logit)))


def test_what_the_shape_says_adds_to_the_logit() -> None:
    nothing = ShapeEvidence(**{item.name: 0.0 for item in fields(ShapeEvidence)})
    for name in ("open_outline", "open_goes_on", "over_quadric"):
        logit = PRESENCE.constant + 0.5 * getattr(PRESENCE.evidence, name)
        said = presence_probability(NEUTRAL, replace(nothing, **{name: 0.5}), 0.0, PRESENCE)
        assert said == pytest.approx(1.0 / (1.0 + np.exp(-logit)))


def test_what_is_hidden_is_not_there_whatever_its_features() -> None:
    bound = 1.0 - PRESENCE.min_visible_share
    seen = replace(NEUTRAL, visible=1.0, pattern=1.0, occluded=bound)
    assert presence_probability(seen, None, 0.0, PRESENCE) > 0.0
    assert presence_probability(replace(seen, occluded=bound + 0.01), None, 0.0, PRESENCE) == 0.0


def test_no_contour_is_judged_where_all_of_it_is_blocked() -> None:
    """A box that fills the image from edge to edge: its contour term is 1, as if all of it were wrong."""
    nothing = ShapeEvidence(**{item.name: 0.0 for item in fields(ShapeEvidence)})
    at_its_worst = replace(NEUTRAL, contour=1.0)
    blocked, part = replace(nothing, blocked=1.0), replace(nothing, blocked=PRESENCE.all_blocked)
    usual = replace(NEUTRAL, contour=PRESENCE.usual_contour)
    assert presence_probability(at_its_worst, blocked, 0.0, PRESENCE) == presence_probability(
        usual, blocked, 0.0, PRESENCE
    )
    assert presence_probability(at_its_worst, part, 0.0, PRESENCE) < presence_probability(usual, part, 0.0, PRESENCE)
