"""Confidence: how far a tracked pose is to be believed, one number from what geometry sees of it.

A track fails in three ways, and each shows in another number; the lowest one decides.

* It slides onto something else of the same relief, a table top or a hand: the rendered model agrees with the depth
  as well as ever, but contour and colours do not, and the residual of `pipeline.refine.alignment` rises.
* It hangs in the air, or turns the wrong side to the camera: the camera sees through the model
  (`pipeline.refine.judge`).
* It hides: behind something nearer, every pose explains what little is seen, so a pose that is hidden for the most
  part is not believed however well the rest fits.

None of the three is enough alone; ``benchmarks run recovery`` measures what they are worth together in the loop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.pipeline.track.config import ConfidenceConfig


def pose_confidence(
    visible: ArrayLike, residual: ArrayLike, occluded: ArrayLike, *, config: ConfidenceConfig
) -> NDArray[np.float64]:
    """Confidence in poses, 0 to 1; wrong ones are mostly below 0.4, right ones above 0.5.

    Args:
        visible: Agreeing share of what should be seen, `judge.PoseScores`, ``(...)``.
        residual: Geometric residual, `alignment.AlignmentTerms`, ``(...)``.
        occluded: Share of the model that something nearer hides, `judge.PoseScores`, ``(...)``.
        config: How agreement becomes confidence.
    """
    agreement = np.minimum(visible, np.subtract(1.0, residual))
    seen = np.subtract(1.0, occluded) / config.full_visible_share
    # On single numbers these are many times quicker than `np.clip`.
    return np.asarray(np.minimum(np.maximum(agreement, 0.0), 1.0) * np.minimum(np.maximum(seen, 0.0), 1.0))
