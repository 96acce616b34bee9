"""A mask around the last pose from learned colours, on the staged mug."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.evaluate.metrics import mask_iou
from storm_edge.kernels import contour_region
from storm_edge.pipeline.reacquire.config import LocalSearchConfig
from storm_edge.pipeline.reacquire.local_search import local_search_mask
from tests.pipeline.searching import learned_log_odds
from tests.staged import Staged

CONFIG = LocalSearchConfig()


def test_the_object_is_marked_where_it_was(staged: Staged) -> None:
    """Overlap seen: 0.96 (x86-64 CPU)."""
    frame = staged.frame()
    mask = local_search_mask(
        staged.buffers(frame),
        learned_log_odds(staged, frame),
        staged.T_cam_centre,
        staged.bundle.diameter_m,
        config=CONFIG,
    )
    assert mask is not None
    assert mask_iou(mask, staged.mask()) > 0.9


@pytest.mark.parametrize("shift_m", [[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]], ids=["aside", "behind"])
def test_out_of_reach_there_is_nothing(staged: Staged, shift_m: list[float]) -> None:
    frame, T = staged.frame(), staged.T_cam_centre.copy()
    T[:3, 3] += shift_m
    odds = learned_log_odds(staged, frame)
    mask = local_search_mask(staged.buffers(frame), odds, T, staged.bundle.diameter_m, config=CONFIG)
    assert mask is None


def test_where_no_colour_speaks_for_it_there_is_nothing(staged: Staged) -> None:
    odds = np.full(contour_region.BIN_COUNT, -1.0, dtype=np.float32)
    buffers, diameter_m = staged.buffers(), staged.bundle.diameter_m
    assert local_search_mask(buffers, odds, staged.T_cam_centre, diameter_m, config=CONFIG) is None
