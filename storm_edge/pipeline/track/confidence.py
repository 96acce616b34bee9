"""Confidence: how far a tracked pose is to be believed, one number from what geometry sees of it.

A track fails in four ways, and each shows in another number; the lowest one decides.

* It slides onto something else of the same relief, a table top or a hand: the rendered model agrees with the depth
  as well as ever, but contour and colours do not, and the residual of `pipeline.refine.alignment` rises.
* It hangs in the air, or turns the wrong side to the camera: the camera sees through the model
  (`pipeline.refine.judge`).
* It sits on another thing of the same size, so far away that noise hides the difference of the shapes: there, and as
  much as the noise takes from the depth, the model's colours must be what is seen.
* It hides: behind something nearer, every pose explains what little is seen, so a pose that is hidden for the most
  part is not believed however well the rest fits.

None of the four is enough alone; ``benchmarks run recovery`` measures what they are worth together in the loop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.objects.colour_values import has_colours
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.track.config import ConfidenceConfig


def pose_confidence(
    visible: ArrayLike,
    residual: ArrayLike,
    occluded: ArrayLike,
    *,
    config: ConfidenceConfig,
    colour_doubt: ArrayLike = 0.0,
) -> NDArray[np.float64]:
    """Confidence in poses, 0 to 1; wrong ones are mostly below 0.4, right ones above 0.5.

    Args:
        visible: Agreeing share of what should be seen, `judge.PoseScores`, ``(...)``.
        residual: Geometric residual, `alignment.AlignmentTerms`, ``(...)``.
        occluded: Share of the model that something nearer hides, `judge.PoseScores`, ``(...)``.
        config: How agreement becomes confidence.
        colour_doubt: See `colour_doubt`, ``(...)``.
    """
    agreement = np.minimum(visible, np.subtract(1.0, residual))
    seen = np.subtract(1.0, occluded) / config.full_visible_share
    # On single numbers these are many times quicker than `np.clip`.
    confidence = np.minimum(np.maximum(agreement, 0.0), 1.0) * np.minimum(np.maximum(seen, 0.0), 1.0)
    return np.asarray(confidence * np.subtract(1.0, colour_doubt))


def track_judge(item: ObjectOnDevice, config: JudgeConfig, *, batch: int) -> PoseJudge:
    """What judges the poses of an object's track; its buffers are made here.

    Args:
        item: The object.
        config: How to judge.
        batch: Most poses per call.
    """
    named = has_colours(item.bundle.mesh_lod)
    return PoseJudge(item.mesh_lod, diameter_m=item.diameter_m, batch=batch, config=config, has_colours=named)


def colour_doubt(colour_angle: ArrayLike, noise_share: float, *, config: ConfidenceConfig) -> NDArray[np.float64]:
    """How far colours speak against a pose that depth cannot tell from others, 0 to 1; 0 for near things.

    Args:
        colour_angle: `judge.PoseScores.colour_angle`, ``(...)``.
        noise_share: `judge.PoseJudge.noise_share` there; 0 for a model that does not say its colours.
        config: From which angle on.
    """
    low, high = config.colour_angles
    foreign = np.subtract(colour_angle, low) / max(high - low, 1e-6)  # fixed: no division by nothing
    return np.asarray(np.minimum(np.maximum(foreign, 0.0), 1.0) * noise_share)
