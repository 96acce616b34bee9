"""From a map of probabilities to candidates, by 3D.

A sphere of the object's size is put where most of the probability is, by mean shift; what lies in it is one
candidate; and so on with the rest. That splits touching look-alikes and joins what an occluder cuts in two. The
spheres of coarse maps come from `pipeline.segment.marks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.kernels.contour_region import log_odds_of
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame
from storm_edge.pipeline.segment.config import LearnedColourConfig, ProposalConfig
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.marks import Mark
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box
from storm_edge.pipeline.segment.sigmoid import sigmoid

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def propose_candidates(
    image: ImageFeatures, probability: Float32, small_probability: Float32, diameter_m: float, config: ProposalConfig
) -> list[Candidate]:
    """Candidates in a map, best first.

    Args:
        image: The frame.
        probability: The map at image size ``(H, W)``.
        small_probability: The same at the working size ``(120, 160)``.
        diameter_m: Of the object [m].
        config: Thresholds, radius and counts.
    """
    small = image.small
    seeds = mean_shift_seeds(small_probability, small, diameter_m, config, config.max_candidates)
    stands_out = image.stands_out(config.min_plane_distance_diameters * diameter_m)
    made = [candidate_at_seed(image.frame, probability, stands_out, seed, diameter_m, config) for seed in seeds]
    found = [candidate for candidate in made if candidate is not None]
    found.sort(key=lambda candidate: -candidate.score)
    return [candidate for candidate in found if candidate.score >= config.min_score][: config.max_candidates]


def candidates_of_marks(
    image: ImageFeatures, probability: Float32, marks: Sequence[Mark], diameter_m: float, config: ProposalConfig
) -> list[Candidate]:
    """Candidates at the places of marks, in their order; what a mark promises is the candidate's score.

    Args:
        image: The frame.
        probability: The map at image size ``(H, W)``.
        marks: Best first.
        diameter_m: Of the object [m].
        config: Radius and counts; the threshold is each mark's own.
    """
    stands_out = image.stands_out(config.min_plane_distance_diameters * diameter_m)
    found: list[Candidate] = []
    for mark in marks:
        above = replace(config, mask_threshold=mark.threshold)
        made = candidate_at_seed(image.frame, probability, stands_out, mark.centre_m, diameter_m, above)
        if made is not None:
            found.append(replace(made, score=mark.overlap))
        if len(found) == config.max_candidates:
            break
    return found


def add_colour_log_odds(
    probability: Float32, frame: Frame, colour_log_odds: Float32, config: LearnedColourConfig
) -> Float32:
    """A map ``(H, W)`` as the prior, and learned colours as evidence: their log odds add up.

    Args:
        probability: The map.
        frame: The image.
        colour_log_odds: By colour bin, ``(BIN_COUNT,)``.
        config: Limits.
    """
    odds = np.clip(log_odds_of(frame.rgb, colour_log_odds), -config.max_log_odds, config.max_log_odds)
    smooth = cv2.blur(odds, (config.smooth_px, config.smooth_px))
    least = config.min_probability
    prior = np.clip(probability, np.float32(least), np.float32(1.0 - least))
    return sigmoid(np.log(prior / (1.0 - prior)) + np.asarray(smooth, dtype=np.float32))


def mean_shift_seeds(
    probability: Float32, small: SmallFrame, diameter_m: float, config: ProposalConfig, max_candidates: int
) -> Float64:
    """Centres [m] of spheres of the object's size where the probability is, most first, ``(N, 3)``.

    Args:
        probability: At the working size ``(120, 160)``.
        small: The frame.
        diameter_m: Of the object [m].
        config: Threshold, radius and iterations.
        max_candidates: For so many candidates there must be seeds enough.
    """
    v, u = marked_pixels((probability > config.mask_threshold) & (small.depth_m > 0.0))
    z = small.depth_m[v, u].astype(np.float64)
    points = np.stack([(u - small.K[0, 2]) / small.K[0, 0] * z, (v - small.K[1, 2]) / small.K[1, 1] * z, z], axis=1)
    # A pixel far away stands for more surface than a close one.
    mass = probability[v, u] * z * z
    radius_m = config.seed_radius_diameters * diameter_m
    centres = []
    for _ in range(config.seeds_per_candidate * max_candidates):
        if len(points) < config.min_seed_points:
            break
        centre = _shifted(_densest_start(points, mass, radius_m, config), points, mass, radius_m, config)
        gone = np.linalg.norm(points - centre, axis=1) < radius_m
        if not gone.any():
            break
        centres.append(centre)
        points, mass = points[~gone], mass[~gone]
    return np.array(centres).reshape(-1, 3)


def _densest_start(points: Float64, mass: Float64, radius_m: float, config: ProposalConfig) -> Float64:
    """The one of a few points ``(N, 3)`` with the most mass ``(N,)`` around it."""
    few = points[:: max(1, len(points) // config.max_start_points)]
    inside = np.linalg.norm(points[None] - few[:, None], axis=2) < radius_m
    return np.asarray(few[int((inside @ mass).argmax())])


def _shifted(centre: Float64, points: Float64, mass: Float64, radius_m: float, config: ProposalConfig) -> Float64:
    """The centre after steps of mean shift with a flat kernel."""
    for _ in range(config.mean_shift_iterations):
        near = np.linalg.norm(points - centre, axis=1) < radius_m
        if not near.any():
            break
        centre = np.average(points[near], axis=0, weights=mass[near])
    return centre


def candidate_at_seed(
    frame: Frame, probability: Float32, stands_out: Bool, seed: Float64, diameter_m: float, config: ProposalConfig
) -> Candidate | None:
    """The pixels in the sphere around a seed, at image size; those without depth belong to it if in its outline.

    Args:
        frame: The image.
        probability: The map at image size ``(H, W)``.
        stands_out: What is off the large planes ``(H, W)``.
        seed: Centre of the sphere in the camera frame [m] ``(3,)``.
        diameter_m: Of the object [m].
        config: Radius and thresholds.

    Returns:
        None where too little is marked, or nothing that has depth.
    """
    height, width = frame.size_px
    K, radius_m = frame.K, config.seed_radius_diameters * diameter_m
    reach = radius_m * np.array([K[0, 0], K[1, 1]]) / max(seed[2] - radius_m, config.min_depth_share * seed[2])
    middle = np.array([K[0, 0] * seed[0] / seed[2] + K[0, 2], K[1, 1] * seed[1] / seed[2] + K[1, 2]])
    x0, y0 = (int(n) for n in np.clip(np.floor(middle - reach), 0, [width - 1, height - 1]))
    x1, y1 = (int(n) for n in np.clip(np.ceil(middle + reach) + 1, 1, [width, height]))
    z = frame.depth_m[y0:y1, x0:x1]
    likely = probability[y0:y1, x0:x1]
    x = (np.arange(x0, x1) - K[0, 2]) / K[0, 0]
    y = ((np.arange(y0, y1) - K[1, 2]) / K[1, 1])[:, None]
    depth_m = np.where(z > 0.0, z, seed[2])  # without a reading, as if it were as far away as the seed
    off = (x * depth_m - seed[0]) ** 2 + (y * depth_m - seed[1]) ** 2 + (depth_m - seed[2]) ** 2
    inside = off < radius_m**2
    window = inside & (likely > config.mask_threshold)
    area = int(window.sum())
    if area < config.min_mask_px or not (window & (z > 0.0)).any():
        return None
    apparent_px = diameter_m * K[0, 0] / seed[2]
    score = float(likely[window].mean()) * min(1.0, area / float(config.expected_fill * apparent_px**2))
    mask, grown = np.zeros((2, height, width), dtype=bool)
    mask[y0:y1, x0:x1] = window
    grown[y0:y1, x0:x1] = _connected(window, window | (inside & stands_out[y0:y1, x0:x1]))
    return Candidate(mask=mask, grown=grown, score=score, box=bounding_box(mask))


def _connected(core: Bool, region: Bool) -> Bool:
    """The parts of ``region`` that touch ``core``."""
    count, labels = cv2.connectedComponents(region.astype(np.uint8))
    touches = np.zeros(count, dtype=bool)
    touches[labels[core]] = True
    touches[0] = False
    return np.asarray(touches[labels])
