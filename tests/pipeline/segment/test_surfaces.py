"""Surfaces between steps in depth: the staged mug, what is left of it, and things that it cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.evaluate.metrics import mask_iou
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.pipeline.segment.config import SegmentConfig
from storm_edge.pipeline.segment.segmentation import Candidate
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.surfaces import surface_candidates
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from tests.staged import Staged

CONFIG = SegmentConfig()
SURFACES = replace(CONFIG.surfaces, min_colour_fit=-0.5)
"""The handle's side of the staged mug has a fit of -0.32, a little less than a search asks for."""


@pytest.fixture(scope="module")
def embedding(staged: Staged, colour_segmenter: Segmenter) -> TemplateEmbedding:
    return colour_segmenter.encode_object(staged.item)


@pytest.fixture(scope="module")
def T_half_out(staged: Staged) -> np.ndarray:
    """The mug's middle is on the image's left edge."""
    y, z = staged.T_cam_centre[1:3, 3]
    return make_T(staged.T_cam_centre[:3, :3], [-319.5 / 570.0 * z, y, z])


def proposed(frame: Frame, staged: Staged, segmenter: Segmenter, embedding: TemplateEmbedding) -> list[Candidate]:
    image = segmenter.encode_image(frame)
    diameter_m = staged.bundle.diameter_m
    return list(surface_candidates(image, embedding.colours, diameter_m, CONFIG.proposals, SURFACES))


def test_a_mug_is_proposed_and_what_is_left_of_one(
    staged: Staged, colour_segmenter: Segmenter, embedding: TemplateEmbedding, T_half_out: np.ndarray
) -> None:
    [candidate] = proposed(staged.frame(T_half_out), staged, colour_segmenter, embedding)
    assert mask_iou(candidate.mask, staged.mask(T_half_out)) > 0.9
    assert not candidate.is_by_shape
    assert candidate.box[0] == 0
    [candidate] = proposed(staged.frame(), staged, colour_segmenter, embedding)
    assert mask_iou(candidate.mask, staged.mask()) > 0.9


def test_other_colours_are_not_proposed(
    staged: Staged, colour_segmenter: Segmenter, embedding: TemplateEmbedding, T_half_out: np.ndarray
) -> None:
    frame, mask = staged.frame(T_half_out), staged.mask(T_half_out)
    rgb = frame.rgb.copy()
    rgb[mask] = 255 - rgb[mask]
    assert proposed(replace(frame, rgb=rgb), staged, colour_segmenter, embedding) == []


def test_a_step_in_depth_parts_it_from_what_touches_it_in_the_image(
    staged: Staged, colour_segmenter: Segmenter, embedding: TemplateEmbedding, T_half_out: np.ndarray
) -> None:
    """Something in its colours stands 0.1 m in front of its right half, and reaches to the bottom of the image.
    Overlap seen: 0.83 (x86-64 CPU); the rim is lost."""
    frame, mask = staged.frame(T_half_out), staged.mask(T_half_out)
    columns = np.flatnonzero(mask.any(axis=0))
    front = (slice(int(np.flatnonzero(mask.any(axis=1))[0]), None), slice(int(columns.mean()), int(columns[-1])))
    rgb, depth_m = frame.rgb.copy(), frame.depth_m.copy()
    rgb[front], depth_m[front] = np.median(rgb[mask], axis=0), depth_m[mask].min() - 0.1
    left = mask.copy()
    left[front] = False
    found = proposed(replace(frame, rgb=rgb, depth_m=depth_m), staged, colour_segmenter, embedding)
    assert max(mask_iou(candidate.mask, left) for candidate in found) > 0.75


def test_what_is_larger_than_the_object_is_not_proposed(
    staged: Staged, colour_segmenter: Segmenter, embedding: TemplateEmbedding
) -> None:
    """A board in the mug's colours before the wall, along the whole of the image's upper edge, and the mug."""
    frame = staged.frame()
    rgb, depth_m = frame.rgb.copy(), frame.depth_m.copy()
    rgb[:60], depth_m[:60] = np.median(rgb[staged.mask()], axis=0), 0.6
    [candidate] = proposed(replace(frame, rgb=rgb, depth_m=depth_m), staged, colour_segmenter, embedding)
    assert mask_iou(candidate.mask, staged.mask()) > 0.9
