"""Proposals from depth alone, on the staged mug: a map that marks nothing must not hide it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.evaluate.metrics import mask_iou
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.depth_proposals import depth_proposals
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Segmentation
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.staged import Staged

COLOUR = SegmentConfig(source=Source.COLOUR)
NOTHING = Segmentation(candidates=(), probability=np.zeros((60, 80), dtype=np.float32), score=0.0)


@pytest.fixture(scope="module")
def image(staged: Staged) -> ImageFeatures:
    return Segmenter(None, config=COLOUR).encode_image(staged.frame())


def test_what_stands_out_is_a_candidate_without_any_colour(staged: Staged, image: ImageFeatures) -> None:
    """Overlap seen: 0.95 (x86-64 CPU)."""
    found = depth_proposals(image, NOTHING, staged.bundle.diameter_m, COLOUR, 8)
    assert 1 <= len(found) <= 8
    assert max(mask_iou(candidate.mask, staged.mask()) for candidate in found) > 0.8


def test_a_place_that_the_segmenter_found_is_not_repeated(staged: Staged, image: ImageFeatures) -> None:
    first = depth_proposals(image, NOTHING, staged.bundle.diameter_m, COLOUR, 8)
    known = replace(NOTHING, candidates=first)
    assert depth_proposals(image, known, staged.bundle.diameter_m, COLOUR, 8) == ()


def test_things_much_larger_are_no_piece_of_the_object(staged: Staged, image: ImageFeatures) -> None:
    """For an object of a fifth of its size the mug is cut into spheres, none of which covers it."""
    found = depth_proposals(image, NOTHING, staged.bundle.diameter_m / 5.0, COLOUR, 8)
    assert found
    assert max(candidate.mask.sum() for candidate in found) < 0.4 * staged.mask().sum()


def test_an_empty_wall_has_none(staged: Staged) -> None:
    T = staged.T_cam_centre.copy()
    T[2, 3] = -5.0
    image = Segmenter(None, config=COLOUR).encode_image(staged.frame(T))
    assert depth_proposals(image, NOTHING, staged.bundle.diameter_m, COLOUR, 8) == ()
