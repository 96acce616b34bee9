"""The residual of a pose: depth, contour and colour terms, fused into one number from 0 (agrees) to 1.

The terms are taken over the view's surface points and contour lines that nothing hides:

=======  ========================================================================================
depth    distance of the reading from the tangent plane over ``gate_m``, each at most 1
contour  twice the mean probability that a pixel within 8 px of the contour is on the wrong side
colour   one minus the correlation of the model's colours with the image; counts as much as the
         model has contrast, a plain object has no such term
=======  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels import evidence as ev

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AlignmentTerms:
    """How well N poses agree with the image; arrays of shape ``(N,)``."""

    residual: Float64
    """Mean of the terms that can be judged, 0 (agrees) to 1; 1 when nothing can be judged."""
    depth: Float64
    """Depth term of the residual."""
    contour: Float64
    """Contour term of the residual."""
    colour: Float64
    """Colour term of the residual."""
    inliers: Float64
    """Share of the judged surface points within ``gate_m`` of their plane."""
    hidden: Float64
    """Share of the surface points with a reading that something nearer hides."""

    @classmethod
    def of_terms(cls, terms: Float64) -> AlignmentTerms:
        """From the terms of `kernels.evidence`, ``(N, TERM_COUNT)``."""
        residual, depth, contour, colour, inliers, hidden = terms.T
        return cls(residual=residual, depth=depth, contour=contour, colour=colour, inliers=inliers, hidden=hidden)

    @classmethod
    def concatenate(cls, parts: Sequence[AlignmentTerms]) -> AlignmentTerms:
        """Those of all poses, one part after the other."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


def fuse_terms(sums: Float64, *, colours_known: bool) -> AlignmentTerms:
    """Turn sums of `kernels.evidence` ``(N, SUM_COUNT)`` into the terms of the residual.

    `kernels.evidence.fuse_sums` says the same on the device.

    Args:
        sums: As the kernel left them.
        colours_known: Whether colour statistics were learned; without them the contour term is left out.
    """
    column = sums.T
    judged, lines, inliers = column[ev.JUDGED], column[ev.LINES], column[ev.INLIERS]
    depth = column[ev.PLANE_DISTANCE] / np.maximum(judged, 1.0)
    contour = np.minimum(2.0 * (1.0 - column[ev.LINE_SCORE] / np.maximum(lines, 1.0)), 1.0)

    moments = column[ev.MODEL_SUM :] / np.maximum(inliers, 1.0)
    mean_m, mean_o, square_m, square_o, product = moments
    variance_m = np.maximum(square_m - mean_m**2, 0.0)
    variance_o = np.maximum(square_o - mean_o**2, 0.0)
    correlation = (product - mean_m * mean_o) / np.sqrt(np.maximum(variance_m * variance_o, 1e-12))
    colour = np.clip(1.0 - correlation, 0.0, 1.0)  # rounding may take a plain object's beyond

    # A term that rests on few points says little.
    half = ev.HALF_WEIGHT_COUNT
    depth_weight = judged / (judged + half)
    contour_weight = lines / (lines + half) if colours_known else np.zeros_like(lines)
    colour_weight = inliers / (inliers + half) * (variance_m / (variance_m + ev.TONE_CONTRAST_FLOOR))
    total = depth_weight + contour_weight + colour_weight
    weighted = depth * depth_weight + contour * contour_weight + colour * colour_weight
    residual = np.where(total > 0.0, weighted / np.maximum(total, 1e-9), 1.0)
    return AlignmentTerms(
        residual=residual,
        depth=depth,
        contour=contour,
        colour=colour,
        inliers=inliers / np.maximum(judged, 1.0),
        hidden=sums[:, ev.HIDDEN] / np.maximum(judged + sums[:, ev.HIDDEN], 1.0),
    )
