"""What ScoreNet says of single poses: is this the object, and is it so? Only one that was trained to is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.engines.scorers import scores_lone_poses
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseScorer

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class LonePoseScorer:
    """ScoreNet on one object, a pose at a time; buffers are made here.

    Args:
        item: The object.
        networks: Bundle with a ScoreNet.
        options: Where and how its engine runs.
    """

    def __init__(self, item: ObjectOnDevice, networks: NetworkBundle, options: EngineOptions | None = None) -> None:
        self._scorer = PoseScorer(item, networks, batch=1, capacity=1, options=options)

    @property
    def non_finite_count(self) -> int:
        """Answers so far that were no numbers; each counts as the worst."""
        return self._scorer.non_finite_count

    def logits(self, frame: FrameBuffers, T_cam_centre: Float64) -> Float32:
        """Logits ``(N,)`` of "right object, right pose" for poses ``(N, 4, 4)``, each by itself."""
        out = np.empty(len(T_cam_centre), dtype=np.float32)
        for number, T in enumerate(T_cam_centre):
            self._scorer.begin()
            self._scorer.add(frame, T[None])
            out[number] = self._scorer.scores()[0]
        return out


def open_lone_scorer(
    item: ObjectOnDevice, networks: NetworkBundle | None, options: EngineOptions | None = None
) -> LonePoseScorer | None:
    """The one of a bundle; None where its ScoreNet only ranks, or it has none."""
    if networks is None or not scores_lone_poses(networks.tier, networks.networks):
        return None
    return LonePoseScorer(item, networks, options)
