"""Whether an image has as many pixels of each colour as the model at a pose, wherever they are.

Colours that are compared pixel by pixel say little where a print is small or a pose is a little off. How much there
is of each colour stays the same.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.side.shading import FittedColours

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def palette_overlap(fitted: FittedColours, index: int, bins: int) -> float:
    """Part of the pixels whose colours both have, 0 to 1: the intersection of their histograms (Swain and Ballard,
    "Color Indexing", 1991), after gain and shading; 1 where no pixel of the pose counts.

    Args:
        fitted: The colours of the image and of the model.
        index: At which of the poses.
        bins: Of the histogram, along each channel.
    """
    counted = fitted.counted[index] > 0.0
    if not counted.any():
        return 1.0
    seen, model = (_histogram(of[:, counted], bins) for of in (fitted.seen, fitted.model[index]))
    return float(np.minimum(seen, model).sum())


def _histogram(colours: Float32, bins: int) -> Float64:
    """Shares of colours in [0, 1] ``(3, P)``. Each counts in the nearest bins in proportion, so that a little change
    of a colour changes little."""
    at = np.clip(colours, 0.0, 1.0) * bins
    low = np.minimum(at.astype(np.int64), bins - 1)
    upper = at - low
    counts, side = np.zeros((bins + 1) ** 3), bins + 1
    for corner in itertools.product((0, 1), repeat=3):  # fixed: of a cube
        r, g, b = (low[channel] + step for channel, step in enumerate(corner))
        weight = np.prod([upper[k] if step else 1.0 - upper[k] for k, step in enumerate(corner)], axis=0)
        counts += np.bincount((r * side + g) * side + b, weight, minlength=len(counts))
    return np.asarray(counts / counts.sum())
