"""Whether a service's resident memory is level, from samples between which searches need more for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import theilslopes

_MINUTE_S = 60.0
_LEAST_MINUTES = 4
"""Within the second half, for a slope."""


def least_by_minute(samples: Sequence[tuple[float, float]]) -> list[float]:
    """The least memory of each whole minute [MiB]: what is held while nothing is searched for.

    A search needs up to 250 MiB more while it lasts, and what it frees goes back to the system twice a minute: means
    and medians say how much was searched, the least says what is kept.

    Args:
        samples: Time since the start [s] and memory [MiB].
    """
    minutes: dict[int, list[float]] = {}
    for at_s, mib in samples:
        minutes.setdefault(int(at_s // _MINUTE_S), []).append(mib)
    last = max(minutes, default=0)  # which is not whole
    return [min(values) for minute, values in sorted(minutes.items()) if minute < last]


def memory_figures(samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Least memory by minute [MiB], and how it rises in the second half, where all that is filled once is full.

    The slope is the median of those between any two minutes (Theil and Sen): a minute that was searched through does
    not count. With it comes the interval that holds it with a probability of 95 %.

    Args:
        samples: Time since the start [s] and memory [MiB].
    """
    least = least_by_minute(samples)
    half = least[len(least) // 2 :]
    slope: dict[str, float] | None = None
    if len(half) >= _LEAST_MINUTES:
        middle, _, low, high = (float(value) for value in theilslopes(half, np.arange(len(half)) / 60.0, alpha=0.95))
        slope = {"slope": round(middle, 1), "at_least": round(low, 1), "at_most": round(high, 1)}
    return {
        "memory_mib": {"least_by_minute": least, "most": max((mib for _, mib in samples), default=None)},
        "memory_mib_per_hour": slope,
    }
