"""Which detection is tried further, which is preferred, and which is the object. Pure functions of what is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.contour_region import log_odds_of
from storm_edge.pipeline.detect.config import DetectConfig, PresenceConfig, SearchBudget
from storm_edge.pipeline.detect.detection import Detection, TrackPrior
from storm_edge.pipeline.detect.merged_candidates import mask_overlap
from storm_edge.pipeline.segment.segmentation import Candidate

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def prior_logit(network_probability: float | None, config: PresenceConfig) -> float:
    """What the segmenter network's presence probability adds to the logit of a detection; 0 where there is none."""
    least = config.min_network_probability
    limited = 0.5 if network_probability is None else float(np.clip(network_probability, least, 1.0 - least))
    return config.network_weight * float(np.log(limited / (1.0 - limited)))


def learned_colour_logit(
    frame: Frame, visible: NDArray[np.bool_], colour_log_odds: Float32 | None, config: PresenceConfig
) -> float:
    """What the colours that tracking learned say against a detection [logit, 0 or less].

    They say nothing for it: what stands beside the object may have its colours.

    Args:
        frame: The image.
        visible: What of the model is visible ``(H, W)``.
        colour_log_odds: By colour bin, ``(BIN_COUNT,)``; None if nothing was learned.
        config: Weight and limit.
    """
    if colour_log_odds is None or not visible.any():
        return 0.0
    odds = log_odds_of(frame.rgb[visible], colour_log_odds)
    limited = np.clip(odds, -config.max_log_odds, config.max_log_odds)
    return min(config.learned_colour_weight * float(limited.mean()), 0.0)


def rank(detection: Detection, last_T_cam_centre: Float64 | None, diameter_m: float, config: DetectConfig) -> float:
    """By what detections are ranked: of two equal objects the one at the last place must be found again."""
    same_place = last_T_cam_centre is not None and _is_same_place(detection, last_T_cam_centre, diameter_m, config)
    return detection.presence_probability + config.same_place_bonus * same_place


def ends_search(
    detection: Detection, last_T_cam_centre: Float64 | None, diameter_m: float, config: DetectConfig
) -> bool:
    """Whether nothing else can win; another of two equal objects can, where one was seen before."""
    return detection.presence_probability >= config.stop_above and (
        last_T_cam_centre is None or _is_same_place(detection, last_T_cam_centre, diameter_m, config)
    )


def needs_no_refinement(detection: Detection, config: DetectConfig) -> bool:
    """Whether refinement would change nothing. What networks would say is not known before they are asked."""
    return (
        config.chosen_by == "alignment"
        and not config.refined.asks_networks
        and detection.presence_probability >= config.stop_above
        and detection.features.alignment_residual < config.good_alignment_residual
    )


def is_object(detection: Detection, track_prior: TrackPrior | None, config: DetectConfig) -> bool:
    """Whether the object counts as found there; after a closer look less is asked for, after a lost track more."""
    if track_prior is None or track_prior.colour_log_odds is None:
        least = config.min_probability if detection.look is None else config.closer.min_probability
        return detection.presence_probability >= least
    return (
        detection.presence_probability >= config.min_probability_after_loss
        and detection.features.alignment_residual <= config.max_alignment_residual_after_loss
    )


def is_better(other: Detection, before: Detection, config: DetectConfig) -> bool:
    """Whether another pose at the same place is preferred: by its probability, in a close call by its alignment."""
    gain = logit_of(other.presence_probability) - logit_of(before.presence_probability)
    if abs(gain) > config.clear_gain:
        return gain > 0.0
    return other.features.alignment_residual < before.features.alignment_residual


def joined(detection: Detection, before: Detection, config: DetectConfig) -> Detection:
    """Two detections of one place as one: the better pose, with the segmenter's candidate where one of them has it.

    A mask of colours is the same whichever side a pose claims. A mask by shape is what agrees with a pose, and a
    registration of it returns to the side that this pose claims.
    """
    best = detection if is_better(detection, before, config) else before
    other = before if best is detection else detection
    return best if other.candidate.is_by_shape else replace(best, candidate=other.candidate)


def is_one_place(detection: Detection, before: Detection, diameter_m: float, config: DetectConfig) -> bool:
    """Whether the segmenter and the shape led to one place: only one object can be there."""
    mine, other = detection.candidate, before.candidate
    if mine.mark is other or other.mark is mine:
        return True
    apart_m = float(np.linalg.norm(detection.T_cam_centre[:3, 3] - before.T_cam_centre[:3, 3]))
    return mine.is_by_shape != other.is_by_shape and apart_m < config.one_place_diameters * diameter_m


def select_for_refinement(detections: Sequence[Detection], budget: SearchBudget, refine_margin: float) -> list[int]:
    """Which of the detections, best first, are refined: the best ones, and those of the segmenter's best candidates.

    The fast registration ends on a wrong side now and then; then a right mask looks like a wrong place. A candidate
    by shape began from the poses that fit best: what it came to says all that its score does.

    Args:
        detections: What was registered fast.
        budget: How many, and from what probability and score.
        refine_margin: How far below the best probability one may be.

    Returns:
        Their indices.
    """
    best = max((detection.presence_probability for detection in detections), default=0.0)
    bound = max(budget.min_refine_probability, best - refine_margin)

    leading = range(min(budget.max_refined, len(detections)))
    well_marked = [k for k in range(len(detections)) if is_well_marked(detections[k], budget)]
    chosen = [k for k in leading if detections[k].presence_probability >= bound or k in well_marked]
    marked = max(well_marked, key=lambda k: detections[k].candidate.score, default=None)
    return chosen if marked is None or marked in chosen else [*chosen, marked]


def is_well_marked(detection: Detection, budget: SearchBudget) -> bool:
    """Whether the segmenter speaks so clearly for a place that it is refined, whatever its pose came to."""
    return not detection.candidate.is_by_shape and detection.candidate.score >= budget.refine_above_score


def is_spoken_for(candidate: Candidate, config: DetectConfig) -> bool:
    """Whether the segmenter speaks for a candidate's place, by its own mask or by one beside it."""
    own = candidate if not candidate.is_by_shape else candidate.mark
    return own is not None and own.score >= config.grown_above_score


def is_worth_another_mask(refined: Detection, budget: SearchBudget) -> bool:
    """Whether another mask is tried for a place that one was refined from."""
    return refined.presence_probability >= budget.min_retry_probability


def is_worth_all_that_stands_out(detection: Detection | None, candidate: Candidate, config: DetectConfig) -> bool:
    """Whether a candidate of the segmenter is registered fast from all that stands out there, too."""
    probability = 0.0 if detection is None else detection.presence_probability
    return (
        probability < config.stop_above
        and candidate.score >= config.grown_above_score
        and mask_overlap(candidate.mask, candidate.grown) < config.grown_below_iou
    )


def logit_of(probability: float) -> float:
    """The logit of a probability, limited where that is 0 or 1."""
    limited = float(np.clip(probability, 1e-12, 1.0 - 1e-12))  # fixed: of 0 and 1 it has none
    return float(np.log(limited / (1.0 - limited)))


def is_same_pose(T: Float64, other: Float64, diameter_m: float, config: DetectConfig) -> bool:
    """Whether two poses ``(4, 4)`` are nearly one."""
    turn = np.arccos(np.clip((np.trace(T[:3, :3].T @ other[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))
    gap_m = np.linalg.norm(T[:3, 3] - other[:3, 3])
    return bool(turn < np.deg2rad(config.same_pose_deg) and gap_m < config.same_pose_diameters * diameter_m)


def _is_same_place(detection: Detection, last_T_cam_centre: Float64, diameter_m: float, config: DetectConfig) -> bool:
    gap_m = float(np.linalg.norm(detection.T_cam_centre[:3, 3] - last_T_cam_centre[:3, 3]))
    return gap_m < config.same_place_diameters * diameter_m
