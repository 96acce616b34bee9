"""How well a score tells two classes apart: accuracy at a threshold, the ROC curve and the area under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Roc:
    """Shares of right and false alarms over all thresholds, from the strictest on."""

    thresholds: Float64
    """A pair is called the same from this score on, ``(N,)``; the first is infinite."""
    false_positive_share: Float64
    """Share of different pairs that are called the same, ``(N,)``."""
    true_positive_share: Float64
    """Share of same pairs that are called the same, ``(N,)``."""

    @property
    def area(self) -> float:
        """AUROC, 0 to 1: how likely a same pair has the higher score; ties count half."""
        width = np.diff(self.false_positive_share)
        height = 0.5 * (self.true_positive_share[1:] + self.true_positive_share[:-1])
        return float((width * height).sum())


def roc_curve(scores: Float64, is_same: NDArray[np.bool_]) -> Roc | None:
    """The curve of scores ``(N,)``; None where one of the classes has nothing."""
    same_count, other_count = int(np.count_nonzero(is_same)), int(np.count_nonzero(~is_same))
    if not same_count or not other_count:
        return None
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0.0, True))  # of each run of equal scores
    same, other = np.cumsum(is_same[order]), np.cumsum(~is_same[order])
    return Roc(
        thresholds=np.concatenate([[np.inf], ordered[last]]),
        false_positive_share=np.concatenate([[0.0], other[last] / other_count]),
        true_positive_share=np.concatenate([[0.0], same[last] / same_count]),
    )


def accuracy(scores: Float64, is_same: NDArray[np.bool_], threshold: float) -> float:
    """Share of pairs that are called rightly, same from the threshold on."""
    return float(np.mean((scores >= threshold) == is_same))
