"""One list of two kinds of candidates, the segmenter's and those by shape: no repetitions, best of both first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.segment.segmentation import Candidate

Bool = NDArray[np.bool_]


def interleaved(by_shape: Sequence[Candidate], marked: Sequence[Candidate], max_iou: float) -> list[Candidate]:
    """Both kinds in turn, each in its order, so that neither starves; what repeats another of its kind is left out.

    Those by shape come first in each turn: they come with poses, and cost a third to register. One of the segmenter's
    at the same place is registered, too: it tries all turns, where the poses of a hollow thing may all be wrong.

    Args:
        by_shape: Best first.
        marked: The segmenter's, best first.
        max_iou: Intersection over union from which a mask repeats another.
    """
    kinds = (without_repeated(by_shape, [], max_iou), without_repeated(marked, [], max_iou))
    return [candidate for pair in zip_longest(*kinds) for candidate in pair if candidate is not None]


def without_repeated(candidates: Sequence[Candidate], before: Sequence[Candidate], max_iou: float) -> list[Candidate]:
    """Those of ``candidates`` that repeat neither one of ``before`` nor an earlier one."""
    masks = [candidate.mask for candidate in before]
    kept = []
    for candidate in candidates:
        if any(mask_overlap(candidate.mask, mask) > max_iou for mask in masks):
            continue
        masks.append(candidate.mask)
        kept.append(candidate)
    return kept


def mask_overlap(mask: Bool, other: Bool) -> float:
    """Intersection over union of two masks ``(H, W)``, by every third row and column."""
    step = (slice(None, None, 3), slice(None, None, 3))  # fixed: how alike masks are shows there too
    mask, other = mask[step], other[step]
    return float(np.count_nonzero(mask & other)) / max(int(np.count_nonzero(mask | other)), 1)
