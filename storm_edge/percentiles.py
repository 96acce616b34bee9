"""Percentiles of latencies: what every report states in place of a mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (50, 90, 99)
"""The ones that reports state, beside the largest value."""


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """``p50``, ``p90``, ``p99``, ``max`` [ms] and ``count`` of some latencies; empty for none."""
    if not values_ms:
        return {}
    values = np.asarray(values_ms, dtype=np.float64)
    found = {f"p{q}": round(float(np.percentile(values, q)), 3) for q in PERCENTILES}
    return found | {"max": round(float(values.max()), 3), "count": len(values)}
