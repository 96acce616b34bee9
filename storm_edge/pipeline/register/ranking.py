"""What ScoreNet's logits say about the hypotheses of a set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit


def relative_probability(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """How near each hypothesis comes to the best of its set, ``(N,)`` in (0, 1], the best 1; of ScoreNet's logits.

    Only differences between logits of a set mean anything: ScoreNet is trained to rank. The logistic function of the
    logits themselves is 1 for all of a set where they lie near 47, as those of the official network do.
    """
    below = np.asarray(logits, dtype=np.float64) - np.max(logits, initial=-np.inf)
    return np.asarray(2.0 * expit(below))
