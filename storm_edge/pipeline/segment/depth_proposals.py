"""Further candidates: whatever stands out and is of the object's size, though its colours do not speak for it.

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
from storm_edge.kernels import segment_inputs as inputs
from storm_edge.pipeline.segment.segmenter import (
    Candidate,
    ImageFeatures,
    Segmentation,
    SegmentConfig,
    candidate_at_seed,
    mean_shift_seeds,
)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_SAME_PLACE = 0.7  # intersection over union from which two candidates are one
_EDGE, _EDGE_M = 0.02, 0.005  # a step of depth within 3 px that parts two surfaces: share of the depth, and [m]
_LEAST_PX = 10  # at the working size
_MOST_PX = 1200
_EXTENT = (0.2, 1.3)  # diagonal of a part's box over the diameter; of a thing partly hidden, of one with its shadow


def depth_proposals(
    look: ImageFeatures, segmentation: Segmentation, diameter_m: float, config: SegmentConfig, count: int
) -> tuple[Candidate, ...]:
    """Candidates that `segmentation` lacks, those first for which its map speaks most.

    Args:
        look: The frame.
        segmentation: What the segmenter found there.
        diameter_m: Of the object.
        config: Ball and relief.
        count: Most candidates.
    """
    small, frame = look.small, look.frame
    stands_out = _standing_out(small, diameter_m, config)
    likely = small.letterbox.enlarge(segmentation.probability, frame.size_px)
    everything = small.letterbox.enlarge(stands_out.astype(np.float32), frame.size_px)
    places = _pieces(small, stands_out, diameter_m)
    balls = mean_shift_seeds(_thinned(stands_out), small, diameter_m, replace(config, max_candidates=count))
    places += [(stands_out, centre) for centre in balls]
    # Masks are compared on every third pixel: how alike they are shows there too.
    taken = [candidate.mask[::3, ::3] for candidate in segmentation.candidates]
    found = []
    for region, centre in places:
        where = small.letterbox.enlarge(region.astype(np.float32), frame.size_px)
        made = candidate_at_seed(frame, where, everything > np.float32(0.5), centre, diameter_m, config)
        if made is None or any(_iou(made.mask[::3, ::3], mask) > _SAME_PLACE for mask in taken):
            continue
        taken.append(made.mask[::3, ::3])
        found.append(replace(made, score=float(likely[made.mask].mean())))
    found.sort(key=lambda candidate: -candidate.score)
    return tuple(found[:count])


def _standing_out(small: inputs.SmallFrame, diameter_m: float, config: SegmentConfig) -> NDArray[np.bool_]:
    """Places off the planes at the working size, without specks; all that has depth where there is no plane."""
    if (small.relief_m < 0.0).all():
        return np.asarray(small.depth_m > 0.0)
    off = small.relief_m > np.float32(config.min_plane_distance_diameters * diameter_m)
    return np.asarray(cv2.morphologyEx(off.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0)


def _thinned(marked: NDArray[np.bool_]) -> Float32:
    """1 at every so manieth marked place, at most about `_MOST_PX` of them, 0 elsewhere: enough to place balls by."""
    step = int(np.ceil(np.sqrt(max(marked.sum() / _MOST_PX, 1.0))))
    thin = np.zeros(marked.shape, dtype=np.float32)
    thin[::step, ::step] = marked[::step, ::step]
    return thin


def _pieces(
    small: inputs.SmallFrame, stands_out: NDArray[np.bool_], diameter_m: float
) -> list[tuple[NDArray[np.bool_], Float64]]:
    """Connected parts between depth edges that are as large as the object may look, and their centres [m]."""
    z = small.depth_m
    ring = np.ones((3, 3), np.uint8)
    unknown = np.where(z > 0.0, z, np.float32(np.inf))
    step = cv2.dilate(z, ring) - cv2.erode(unknown, ring)
    inner = stands_out & (z > 0.0) & (step < np.float32(_EDGE) * z + np.float32(_EDGE_M))
    count, labels = cv2.connectedComponents(inner.astype(np.uint8), connectivity=4)
    found = []
    for number in range(1, count):
        piece = labels == number
        v, u = np.nonzero(piece)
        if len(v) < _LEAST_PX:
            continue
        points = back_project(small.K, np.stack([u, v], axis=1), z[v, u])
        low, high = np.percentile(points, [3.0, 97.0], axis=0)
        if not _EXTENT[0] * diameter_m < np.linalg.norm(high - low) < _EXTENT[1] * diameter_m:
            continue
        whole = (cv2.dilate(piece.astype(np.uint8), ring) > 0) & stands_out
        found.append((whole, np.median(points, axis=0)))
    return found


def _iou(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((mask & other).sum()) / max(int((mask | other).sum()), 1)
