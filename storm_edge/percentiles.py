"""Percentiles of latencies: what every report states in place of a mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (50, 90, 99)
"""The ones that reports state, beside the largest value."""


def percentiles(values: Sequence[float], ranks: Sequence[int] = PERCENTILES, digits: int = 3) -> dict[str, float]:
    """``p50``, ``p90``, ``p99``, ``max`` and ``count`` of some latencies or other values; empty for none.

    Args:
        values: Latencies [ms], or what is to be summarised.
        ranks: The percentiles to state, where others are wanted.
        digits: Places after the point that are kept.
    """
    if not values:
        return {}
    array = np.asarray(values, dtype=np.float64)
    found = {f"p{q}": round(float(np.percentile(array, q)), digits) for q in ranks}
    return found | {"max": round(float(array.max()), digits), "count": len(array)}


def first_and_last(values_ms: Sequence[float]) -> dict[str, float]:
    """``first_p50`` and ``last_p50`` [ms]: medians of the first and the last tenth, in which a drift shows."""
    values = np.asarray(values_ms, dtype=np.float64)
    window = max(1, len(values) // 10)
    return {
        "first_p50": round(float(np.median(values[:window])), 3),
        "last_p50": round(float(np.median(values[-window:])), 3),
    }
