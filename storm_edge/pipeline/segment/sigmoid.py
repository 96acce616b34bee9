"""The logistic function."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``1 / (1 + exp(-x))``, float32."""
    limited = np.clip(x, -30.0, 30.0)  # fixed: beyond, float32 says 0 or 1, and exp must not overflow
    return np.asarray(1.0 / (1.0 + np.exp(-limited)), dtype=np.float32)
