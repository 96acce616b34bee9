"""Which pixels a mask marks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


def marked_pixels(mask: NDArray[np.bool_]) -> tuple[Int64, Int64]:
    """Rows and columns of the pixels that a mask ``(H, W)`` marks, ``(N,)`` each, as `numpy.nonzero` gives them.

    Any matrix will do. What NumPy does for one takes many times as long as for the same values in a row.
    """
    index = np.flatnonzero(mask)
    rows = index // mask.shape[1]
    return rows, index - rows * mask.shape[1]
