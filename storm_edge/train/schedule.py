"""Learning rate as a function of how much of the run is over."""

from __future__ import annotations

import math

_WARMUP_SHARE = 0.05


def progress(step: int, steps: int | None, elapsed_s: float, minutes: float | None) -> float:
    """Share of the run that is over, in [0, 1]: by steps or by time, whichever is further."""
    share = 0.0 if steps is None else step / steps
    if minutes is not None:
        share = max(share, elapsed_s / (60.0 * minutes)) if minutes > 0.0 else 1.0
    return min(share, 1.0)


def learning_rate(peak: float, step: int, warmup_steps: int, share: float) -> float:
    """Linear warm-up, then half a cosine in ``share`` down to a hundredth of ``peak``.

    The warm-up is over after ``warmup_steps`` or a twentieth of the run, whichever comes first: a short run on a slow
    machine would else be over before it.
    """
    warm = min(max((step + 1) / max(warmup_steps, 1), share / _WARMUP_SHARE), 1.0)
    return peak * warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * share)))
