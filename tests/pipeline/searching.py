"""Helpers for tests of searches."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels import contour_region
from tests.staged import Staged

Result = TypeVar("Result")


def finished(work: Generator[str, None, Result]) -> tuple[list[str], Result]:
    """The kinds of chunks, and what they came to."""
    kinds = []
    while True:
        try:
            kinds.append(next(work))
        except StopIteration as done:
            return kinds, done.value


def learned_log_odds(staged: Staged, frame: Frame) -> NDArray[np.float32]:
    """Log odds of colours as tracking learns them: in favour where the mug has more of a colour than the wall."""
    mask = staged.mask()
    bins = contour_region.colour_bins(frame.rgb)
    inside, outside = (np.bincount(bins[where], minlength=contour_region.BIN_COUNT) + 1.0 for where in (mask, ~mask))
    return np.log(inside / inside.sum() / (outside / outside.sum())).astype(np.float32)
