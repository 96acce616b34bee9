"""Decisions of a search on made-up detections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.geometry.se3 import make_T
from storm_edge.kernels import contour_region
from storm_edge.pipeline.detect import candidate_scoring as scoring
from storm_edge.pipeline.detect.candidate_scoring import select_for_refinement
from storm_edge.pipeline.detect.config import FULL, REACQUIRE, DetectConfig
from storm_edge.pipeline.detect.detection import Detection, Look, TrackPrior
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.segment.segmentation import Candidate

CONFIG = DetectConfig()
DIAMETER_M = 0.2


def detection(
    probability: float, score: float = 0.0, *, residual: float = 0.2, x_m: float = 0.0, by_shape: bool = False
) -> Detection:
    """At ``x_m`` of the camera's axis; its contour term is the alignment residual."""
    nothing = np.zeros((2, 2), dtype=bool)
    features = CandidateFeatures(
        visible=0.5,
        pattern=0.0,
        occluded=0.0,
        colour=0.0,
        imbalance=0.0,
        residual=0.0,
        contour=residual,
        depth=0.0,
        coarse_pattern=0.0,
        coarse_residual=0.0,
        colour_shift=0.0,
        darkness=0.0,
        stands=0.0,
    )
    return Detection(
        mask=nothing,
        candidate=Candidate(
            mask=nothing, grown=nothing, score=score, box=(0, 0, 1, 1), starts=np.eye(4)[None] if by_shape else None
        ),
        T_cam_centre=make_T(np.eye(3), [x_m, 0.0, 1.0]),
        presence_probability=probability,
        features=features,
    )


def test_a_detection_with_a_good_mask_is_refined_though_its_pose_looks_wrong_at_first() -> None:
    tried = [detection(0.8, 0.0), detection(0.6, 0.1), detection(0.4, 0.2), detection(0.1, 0.9)]
    assert select_for_refinement(tried, FULL, 0.3) == [0, 1, 3]
    assert select_for_refinement(tried, REACQUIRE, 0.3) == [0]  # there is no time for a second one
    assert select_for_refinement([detection(0.9, 0.9), detection(0.2, 0.3)], FULL, 0.3) == [0]
    assert select_for_refinement([detection(0.01, 0.1)], FULL, 0.3) == []
    assert select_for_refinement([], FULL, 0.3) == []


def test_the_score_of_a_candidate_by_shape_is_no_reason_to_refine_it() -> None:
    by_shape = detection(0.01, 0.95, by_shape=True)
    assert select_for_refinement([by_shape], FULL, 0.3) == []
    assert select_for_refinement([by_shape, detection(0.005, 0.9)], FULL, 0.3) == [1]
    assert select_for_refinement([detection(0.5, 0.9, by_shape=True)], FULL, 0.3) == [0]


def test_a_place_that_nothing_speaks_for_is_refined_from_one_mask() -> None:
    """A fast registration that is turned or off looks like a wrong place, and one mask mends it where it can."""
    doubtful = detection(0.5 * (FULL.min_refine_probability + FULL.min_retry_probability), 0.1)
    assert select_for_refinement([doubtful], FULL, 0.3) == [0]
    assert not scoring.is_worth_another_mask(doubtful, FULL)
    assert scoring.is_worth_another_mask(detection(0.2, 0.1), FULL)
    assert not scoring.is_worth_another_mask(detection(0.01, 0.9), FULL)


def test_what_was_looked_for_at_a_mark_is_at_its_place_wherever_the_pose_went() -> None:
    """A turned mug's centre is a third of its diameter aside; the mark's mask is what mends that."""
    marked, far = detection(0.5, 0.6), detection(0.6, x_m=0.5 * DIAMETER_M, by_shape=True)
    assert not scoring.is_one_place(far, marked, DIAMETER_M, CONFIG)
    looked_for = replace(far, candidate=replace(far.candidate, mark=marked.candidate))
    assert scoring.is_one_place(looked_for, marked, DIAMETER_M, CONFIG)
    assert scoring.is_one_place(marked, looked_for, DIAMETER_M, CONFIG)
    both = scoring.joined(looked_for, marked, CONFIG)
    assert both.candidate is marked.candidate
    assert both.presence_probability == looked_for.presence_probability


def test_a_well_marked_place_is_registered_from_all_that_stands_out_where_its_mask_does_not_convince() -> None:
    whole = np.ones((6, 6), dtype=bool)
    half = np.tri(6, dtype=bool)
    marked = Candidate(mask=half, grown=whole, score=CONFIG.grown_above_score + 0.1, box=(0, 0, 6, 6))
    asked = scoring.is_worth_all_that_stands_out
    assert asked(detection(0.01), marked, CONFIG)
    assert asked(None, marked, CONFIG), "its own mask could not be registered"
    assert not asked(detection(CONFIG.stop_above), marked, CONFIG), "it is found already"
    assert not asked(detection(0.01), replace(marked, grown=half), CONFIG), "there is no more"
    assert not asked(detection(0.01), replace(marked, score=CONFIG.grown_above_score - 0.1), CONFIG)


def test_the_network_counts_a_part_of_its_logit_and_no_more_than_about_three_either_way() -> None:
    presence = CONFIG.presence
    part = presence.network_weight
    assert scoring.prior_logit(None, presence) == 0.0
    assert scoring.prior_logit(0.8, presence) == pytest.approx(part * np.log(4.0))
    assert scoring.prior_logit(1.0, presence) == pytest.approx(part * np.log(19.0))
    assert scoring.prior_logit(0.0, presence) == pytest.approx(-part * np.log(19.0))


def test_after_a_closer_look_less_is_asked_for() -> None:
    look = Look(first_probability=0.5, detail=0.0, depth=0.0, elsewhere=0.0, palette=1.0, contour=0.3)
    colours = np.zeros(contour_region.BIN_COUNT, dtype=np.float32)
    followed = TrackPrior(T_cam_centre=np.eye(4), colour_log_odds=colours)
    between = 0.5 * (CONFIG.min_probability + CONFIG.closer.min_probability)
    looked_at = replace(detection(between), look=look)
    assert CONFIG.closer.min_probability < between < CONFIG.min_probability
    assert scoring.is_object(looked_at, None, CONFIG)
    assert not scoring.is_object(detection(between), None, CONFIG)
    assert not scoring.is_object(looked_at, followed, CONFIG)
    assert not scoring.is_object(replace(looked_at, presence_probability=0.5), None, CONFIG)


def test_after_a_loss_more_is_asked_for() -> None:
    colours = np.zeros(contour_region.BIN_COUNT, dtype=np.float32)
    followed = TrackPrior(T_cam_centre=np.eye(4), colour_log_odds=colours)
    between = 0.5 * (CONFIG.min_probability + CONFIG.min_probability_after_loss)
    assert scoring.is_object(detection(between), None, CONFIG)
    assert scoring.is_object(detection(between), TrackPrior(T_cam_centre=np.eye(4)), CONFIG), "seen, but not followed"
    assert not scoring.is_object(detection(between), followed, CONFIG)
    assert scoring.is_object(detection(0.9), followed, CONFIG)
    beyond = CONFIG.max_alignment_residual_after_loss + 0.01
    assert not scoring.is_object(detection(0.9, residual=beyond), followed, CONFIG)
    assert scoring.is_object(detection(0.9, residual=beyond), None, CONFIG)


def test_of_two_poses_the_more_probable_is_better_and_in_a_close_call_the_alignment_decides() -> None:
    before = detection(0.5, residual=0.5)
    assert scoring.is_better(detection(0.8, residual=0.9), before, CONFIG)
    assert not scoring.is_better(detection(0.2, residual=0.1), before, CONFIG)
    assert scoring.is_better(detection(0.49, residual=0.4), before, CONFIG)
    assert not scoring.is_better(detection(0.51, residual=0.6), before, CONFIG)
    assert scoring.is_better(detection(0.99, residual=0.9), detection(0.95, residual=0.2), CONFIG), "4 times as sure"
    assert scoring.is_better(detection(1.0), detection(0.0), CONFIG)


def test_the_last_place_wins_a_close_call_and_alone_ends_a_search() -> None:
    last = make_T(np.eye(3), [0.0, 0.0, 1.0])
    there, elsewhere = detection(0.9), detection(0.95, x_m=0.3)
    assert scoring.rank(there, last, DIAMETER_M, CONFIG) > scoring.rank(elsewhere, last, DIAMETER_M, CONFIG)
    assert scoring.rank(there, None, DIAMETER_M, CONFIG) < scoring.rank(elsewhere, None, DIAMETER_M, CONFIG)
    assert scoring.ends_search(there, last, DIAMETER_M, CONFIG)
    assert not scoring.ends_search(elsewhere, last, DIAMETER_M, CONFIG)
    assert scoring.ends_search(elsewhere, None, DIAMETER_M, CONFIG)
    assert not scoring.ends_search(detection(0.8), None, DIAMETER_M, CONFIG)


@pytest.mark.parametrize(("turn_deg", "gap_m", "same"), [(7.9, 0.0, True), (8.1, 0.0, False), (0.0, 0.007, False)])
def test_poses_that_hardly_differ_are_one(turn_deg: float, gap_m: float, same: bool) -> None:
    a = np.deg2rad(turn_deg)
    R = np.array([[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])
    T, other = make_T(np.eye(3), [0.0, 0.0, 1.0]), make_T(R, [gap_m, 0.0, 1.0])
    assert scoring.is_same_pose(T, other, DIAMETER_M, CONFIG) == same


def by_shape(of: Detection) -> Detection:
    return replace(of, candidate=replace(of.candidate, starts=of.T_cam_centre[None]))


def test_the_shape_and_the_segmenter_at_one_place_make_one_detection() -> None:
    """It has the better pose, but never the mask that a pose made."""
    marked, shape = detection(0.9, residual=0.5), by_shape(detection(0.9, residual=0.7, x_m=0.02))
    assert scoring.is_one_place(marked, shape, DIAMETER_M, CONFIG)
    assert not scoring.is_one_place(marked, by_shape(detection(0.9, x_m=0.1)), DIAMETER_M, CONFIG)
    assert not scoring.is_one_place(marked, detection(0.9), DIAMETER_M, CONFIG), "the segmenter's two masks are two"
    for one in (scoring.joined(marked, shape, CONFIG), scoring.joined(shape, marked, CONFIG)):
        assert one is marked, "a close call is the outline's and the depth's"
    better = by_shape(detection(0.9, residual=0.2, x_m=0.02))
    for one in (scoring.joined(marked, better, CONFIG), scoring.joined(better, marked, CONFIG)):
        assert one.T_cam_centre[0, 3] == 0.02
        assert one.candidate is marked.candidate


def test_the_segmenter_speaks_for_what_it_marks_and_for_what_the_shape_suggests_there() -> None:
    marked, faint = detection(0.5, 0.4).candidate, detection(0.5, 0.1).candidate
    by_shape = detection(0.5, 0.9, by_shape=True).candidate
    assert scoring.is_spoken_for(marked, CONFIG)
    assert not scoring.is_spoken_for(faint, CONFIG)
    assert not scoring.is_spoken_for(by_shape, CONFIG)
    assert scoring.is_spoken_for(replace(by_shape, mark=marked), CONFIG)
    assert not scoring.is_spoken_for(replace(by_shape, mark=faint), CONFIG)
