"""Learned colours in a map, and candidates from maps whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.evaluate.metrics import mask_iou
from storm_edge.kernels import contour_region
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.proposals import add_colour_log_odds, mean_shift_seeds, propose_candidates
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.pipeline.searching import learned_log_odds
from tests.staged import Staged

COLOUR = SegmentConfig(source=Source.COLOUR)
LEARNED = COLOUR.learned_colours


def test_learned_colours_mark_what_the_map_says_nothing_of(staged: Staged) -> None:
    frame, mask = staged.frame(), staged.mask()
    unsure = np.full(mask.shape, 0.4, dtype=np.float32)
    assert mask_iou(add_colour_log_odds(unsure, frame, learned_log_odds(staged, frame), LEARNED) > 0.5, mask) > 0.9


def test_learned_colours_add_to_a_map_as_evidence_does(staged: Staged) -> None:
    """Bayes' rule: odds 1 to 4 before, evidence of 2 to 1 for every colour, odds 1 to 2 after."""
    frame = staged.frame()
    odds = np.full(contour_region.BIN_COUNT, np.log(2.0), dtype=np.float32)
    before = np.full(frame.size_px, 0.2, dtype=np.float32)
    assert add_colour_log_odds(before, frame, odds, LEARNED) == pytest.approx(1.0 / 3.0, abs=1e-5)
    overwhelming = np.full(contour_region.BIN_COUNT, 50.0, dtype=np.float32)
    assert add_colour_log_odds(before, frame, overwhelming, LEARNED).max() < 0.9, "no colour decides by itself"


def test_a_seed_is_where_the_probability_is(staged: Staged, colour_segmenter: Segmenter) -> None:
    """The map is the mug's own mask: there is one seed, inside it, and its candidate is the mug."""
    image, mask = colour_segmenter.encode_image(staged.frame()), staged.mask()
    small = image.small.letterbox.shrink(mask)
    [candidate] = propose_candidates(
        image, mask.astype(np.float32), small, staged.bundle.diameter_m, COLOUR.proposals
    )
    assert mask_iou(candidate.mask, mask) > 0.95
    assert candidate.score == pytest.approx(1.0)
    centre = mean_shift_seeds(small, image.small, staged.bundle.diameter_m, COLOUR.proposals, 1)[0]
    assert np.linalg.norm(centre - staged.T_cam_centre[:3, 3]) < 0.5 * staged.bundle.diameter_m


def test_two_objects_side_by_side_are_two_candidates(staged: Staged, colour_segmenter: Segmenter) -> None:
    left, right = staged.T_cam_centre.copy(), staged.T_cam_centre.copy()
    left[0, 3], right[0, 3] = -0.13, 0.13
    frame, other = staged.frame(left), staged.frame(right)
    mask = staged.mask(right)
    rgb, depth = frame.rgb.copy(), frame.depth_m.copy()
    rgb[mask], depth[mask] = other.rgb[mask], other.depth_m[mask]
    image = colour_segmenter.encode_image(replace(frame, rgb=rgb, depth_m=depth))
    both = (staged.mask(left) | mask).astype(np.float32)
    small = image.small.letterbox.shrink(both)
    found = propose_candidates(image, both, small, staged.bundle.diameter_m, COLOUR.proposals)
    for truth in (staged.mask(left), mask):
        assert max(mask_iou(candidate.mask, truth) for candidate in found) > 0.9
