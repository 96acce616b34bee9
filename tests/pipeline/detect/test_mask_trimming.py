"""What is cut off a mask whose object is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from storm_edge.pipeline.detect.config import MaskTrimmingConfig
from storm_edge.pipeline.detect.detection import Detection
from storm_edge.pipeline.detect.mask_trimming import trim_mask
from storm_edge.pipeline.segment.segmentation import Candidate
from tests.pipeline.detect.neutral import NEUTRAL

CONFIG = MaskTrimmingConfig()


def marked(model: tuple[int, int], mask: tuple[int, int]) -> Detection:
    """A model and a mask in the same rows, each from a first to a last column."""
    seen, found = np.zeros((2, 60, 200), dtype=bool)
    seen[20:40, model[0] : model[1]], found[20:40, mask[0] : mask[1]] = True, True
    features = replace(NEUTRAL, visible=0.5)
    candidate = Candidate(mask=found, grown=found, score=1.0, box=(mask[0], 20, mask[1], 40))
    return Detection(
        mask=seen, candidate=candidate, T_cam_centre=np.eye(4), presence_probability=0.5, features=features
    )


def test_the_hand_beside_the_model_is_cut_off() -> None:
    """A box of 100 columns leaves a margin of 5."""
    trimmed = trim_mask(marked((20, 80), (20, 120)), CONFIG)
    expected = np.zeros((60, 200), dtype=bool)
    expected[20:40, 20:85] = True
    np.testing.assert_array_equal(trimmed, expected)


def test_a_mask_that_would_lose_most_stays_whole() -> None:
    detection = marked((20, 30), (20, 120))
    np.testing.assert_array_equal(trim_mask(detection, CONFIG), detection.candidate.mask)
