"""Further candidates from depth alone: what stands out and has the object's size, whatever its colours.

Colour and network miss an object in odd light, or one that looks like the table. What stands out from the planes is
in clutter a dozen places at most, and registration tells which of them it is: the last resort of
`pipeline.detect.detector`.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import back_project
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame
from storm_edge.pipeline.segment.config import DepthProposalConfig, SegmentConfig
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.proposals import candidate_at_seed, mean_shift_seeds
from storm_edge.pipeline.segment.segmentation import Candidate, Segmentation

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def depth_proposals(
    image: ImageFeatures, segmentation: Segmentation, diameter_m: float, config: SegmentConfig, count: int
) -> tuple[Candidate, ...]:
    """Candidates that `segmentation` lacks, those first for which its map speaks most.

    Args:
        image: The frame.
        segmentation: What the segmenter found there.
        diameter_m: Of the object [m].
        config: Of the segmenter.
        count: Most candidates.
    """
    small, frame, step = image.small, image.frame, config.depth_proposals.iou_step_px
    stands_out = _standing_out(small, config.proposals.min_plane_distance_diameters * diameter_m)
    likely = small.letterbox.enlarge(segmentation.probability, frame.size_px)
    everything = small.letterbox.enlarge(stands_out.astype(np.float32), frame.size_px)
    places = _pieces(small, stands_out, diameter_m, config.depth_proposals)
    thinned = _thinned(stands_out, config.depth_proposals.max_seed_px)
    seeds = mean_shift_seeds(thinned, small, diameter_m, config.proposals, count)
    places += [(stands_out, centre) for centre in seeds]
    taken = [candidate.mask[::step, ::step] for candidate in segmentation.candidates]
    found = []
    for region, centre in places:
        where = small.letterbox.enlarge(region.astype(np.float32), frame.size_px)
        made = candidate_at_seed(frame, where, everything > np.float32(0.5), centre, diameter_m, config.proposals)
        if made is None:
            continue
        sampled = made.mask[::step, ::step]
        if any(_iou(sampled, mask) > config.depth_proposals.max_iou for mask in taken):
            continue
        taken.append(sampled)
        found.append(replace(made, score=float(likely[made.mask].mean())))
    found.sort(key=lambda candidate: -candidate.score)
    return tuple(found[:count])


def _standing_out(small: SmallFrame, min_distance_m: float) -> Bool:
    """Places off the planes at the working size, without specks; all that has depth where there is no plane."""
    if (small.plane_distance_m < 0.0).all():
        return np.asarray(small.depth_m > 0.0)
    off = small.plane_distance_m > np.float32(min_distance_m)
    return np.asarray(cv2.morphologyEx(off.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0)


def _thinned(marked: Bool, max_px: int) -> Float32:
    """1 at every so manieth marked place, at most about ``max_px`` of them, 0 elsewhere: enough for mean shift."""
    step = int(np.ceil(np.sqrt(max(marked.sum() / max_px, 1.0))))
    thin = np.zeros(marked.shape, dtype=np.float32)
    thin[::step, ::step] = marked[::step, ::step]
    return thin


def _pieces(
    small: SmallFrame, stands_out: Bool, diameter_m: float, config: DepthProposalConfig
) -> list[tuple[Bool, Float64]]:
    """Connected parts between depth edges that are as large as the object may appear, and their centres [m]."""
    z = small.depth_m
    ring = np.ones((3, 3), np.uint8)
    unknown = np.where(z > 0.0, z, np.float32(np.inf))
    step = cv2.dilate(z, ring) - cv2.erode(unknown, ring)
    inner = stands_out & (z > 0.0) & (step < np.float32(config.edge_share) * z + np.float32(config.edge_m))
    count, labels = cv2.connectedComponents(inner.astype(np.uint8), connectivity=4)  # fixed: pixels that share a side
    margins = [config.extent_margin_percent, 100.0 - config.extent_margin_percent]
    found = []
    for number in range(1, count):
        piece = labels == number
        v, u = np.nonzero(piece)
        if len(v) < config.min_piece_px:
            continue
        points = back_project(small.K, np.stack([u, v], axis=1), z[v, u])
        low, high = np.percentile(points, margins, axis=0)
        extent_m = np.linalg.norm(high - low)
        if not config.min_extent_diameters * diameter_m < extent_m < config.max_extent_diameters * diameter_m:
            continue
        whole = (cv2.dilate(piece.astype(np.uint8), ring) > 0) & stands_out
        found.append((whole, np.median(points, axis=0)))
    return found


def _iou(mask: Bool, other: Bool) -> float:
    return float((mask & other).sum()) / max(int((mask | other).sum()), 1)
