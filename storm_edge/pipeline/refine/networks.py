"""RefineNet and ScoreNet on one object: fill the pairs of crops, run the engine, apply the answer.

An engine may answer with NaN or infinity, half precision that overflowed for instance. No such number leaves this
module: a pose stays where it was, a hypothesis counts as wrong, and ``non_finite_count`` counts the answers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.kernels.device import put
from storm_edge.kernels.pose_update import update_poses
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.config import PRESETS, UPSTREAM_SCORE
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from storm_edge.pipeline.refine.set_scorer import open_scorer

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_NON_FINITE_LOGIT = -100.0  # fixed: below every answer of a network; those of the official one are near 47
"""Logit of a hypothesis that ScoreNet gave no number."""


def are_poses(T: Float64) -> NDArray[np.bool_]:
    """Which of ``(N, 4, 4)`` are numbers that place something in front of the camera, ``(N,)``."""
    return np.asarray(np.isfinite(T).all(axis=(1, 2)) & (T[:, 2, 3] > 0.0))


class PoseRefiner:
    """RefineNet iterations for up to ``batch`` poses at a time.

    Args:
        item: The object; its device is used.
        networks: Bundle with ``refine``.
        batch: Most poses per call.
        options: Where and how the engine runs.

    Attributes:
        non_finite_count: Answers so far that left no pose, see the module.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle,
        *,
        batch: int,
        options: EngineOptions | None = None,
    ) -> None:
        self.non_finite_count = 0
        self._diameter_m = item.diameter_m
        preset = PRESETS[networks.preset]
        self._pairs = PairInputs(
            item.network_mesh,
            diameter_m=item.diameter_m,
            preset=preset,
            network="refine",
            batch=batch,
            size_px=networks.size_px,
        )
        self._T = wp.zeros(batch, dtype=wp.mat44f, device=item.device)
        self._trans = wp.zeros(batch, dtype=wp.vec3f, device=item.device)
        self._rot = wp.zeros(batch, dtype=wp.vec3f, device=item.device)
        self._engine = networks.open("refine", options)
        self._engine.bind(
            {
                "rendered": self._pairs.rendered,
                "observed": self._pairs.observed,
                "trans": self._trans.view(wp.float32),
                "rot": self._rot.view(wp.float32),
            }
        )

    def __call__(self, frame: FrameBuffers, T_cam_centre: Float64) -> Float64:
        """One iteration for poses ``(N, 4, 4)``, N up to the batch; the corrected ones, or as given if unusable."""
        count = len(T_cam_centre)
        put(T_cam_centre, self._T)
        self._pairs.fill(frame, self._T, count)
        self._engine.launch(count)
        update_poses(self._T, self._trans, self._rot, diameter_m=self._diameter_m, T_out=self._T, count=count)
        corrected = np.asarray(self._T.numpy()[:count], dtype=np.float64)
        good = are_poses(corrected)
        self.non_finite_count += count - int(good.sum())
        return corrected if good.all() else np.where(good[:, None, None], corrected, T_cam_centre)


class PoseScorer:
    """ScoreNet over one set of hypotheses that arrives in chunks of up to ``batch`` poses.

    Args:
        item: The object; its device is used.
        networks: Bundle with a ScoreNet.
        batch: Most poses per chunk.
        capacity: Most poses of a set.
        options: Where and how the engine runs.

    Attributes:
        non_finite_count: Scores so far that were no number.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle,
        *,
        batch: int,
        capacity: int,
        options: EngineOptions | None = None,
    ) -> None:
        self.non_finite_count = 0
        preset = PRESETS[networks.preset]
        if item.as_upstream:
            preset = replace(preset, score=UPSTREAM_SCORE)
        self._pairs = PairInputs(
            item.network_mesh,
            diameter_m=item.diameter_m,
            preset=preset,
            network="score",
            batch=batch,
            size_px=networks.size_px,
        )
        self._T = wp.zeros(batch, dtype=wp.mat44f, device=item.device)
        self._pending = False
        self._scorer = open_scorer(networks, capacity=capacity, options=options)
        self._scorer.bind(self._pairs.rendered, self._pairs.observed)

    def begin(self) -> None:
        """Begin a new set; what an earlier one, given up half-way, has left is dropped."""
        if self._pending:
            self.scores()

    def add(self, frame: FrameBuffers, T_cam_centre: Float64) -> None:
        """Take poses ``(N, 4, 4)``, N up to the batch, into the set."""
        count = len(T_cam_centre)
        put(T_cam_centre, self._T)
        self._pairs.fill(frame, self._T, count)
        self._pending = True
        self._scorer.add(count)

    def scores(self) -> Float32:
        """Logits ``(n,)`` of the set, in the order added; the set is empty again afterwards."""
        self._pending = False
        scores = self._scorer.scores()
        good = np.isfinite(scores)
        self.non_finite_count += len(scores) - int(good.sum())
        return np.where(good, scores, np.float32(_NON_FINITE_LOGIT))
