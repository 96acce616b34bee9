"""Track: from the last pose to the next one, and how sure of it we are.

Geometry runs on every frame; where its residual says that it went wrong, RefineNet looks at the pair of crops and
geometry finishes from there. What is reported is the pose with the lowest residual. What the network adds is measured
by ``benchmarks/cases/accuracy.py`` with ``--bundle nano`` against ``--bundle none``.

Poses are of the centred mesh (``T_cam_centre``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import InputError
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.refine.geometric import GeometricRefiner, motion_starts
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.confidence import pose_confidence

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StepwiseTrackConfig:
    """When the network runs, and how poses are judged."""

    ask_network: Literal["in doubt", "always", "never"] = "in doubt"
    """When RefineNet looks at the frame: where geometry's own result is not to be trusted, or always, or never."""
    network_iterations: int = 2
    """RefineNet iterations when it is asked."""
    judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(size_px=48))
    """How the reported pose is judged for its confidence."""


@dataclass(frozen=True, kw_only=True)
class TrackStep:
    """The pose in one frame."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``."""
    confidence: float
    """How far the pose is to be believed, 0..1, see `pipeline.track.confidence`."""
    residual: float
    """Geometric residual, 0 (agrees) to 1, see `pipeline.refine.geometric`."""
    network_used: bool
    """Whether RefineNet ran on this frame."""
    is_non_finite: bool = False
    """Whether something gave no number where it should have: the pose is then without its help."""


class StepwiseTracker:
    """Follows one object; buffers are made here.

    Args:
        item: The object.
        geometry: Its geometric refiner; the colours of the object are learned into it.
        network: RefineNet on this object, or None to track by geometry alone.
        config: When the network runs, and how poses are judged.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        geometry: GeometricRefiner,
        network: PoseRefiner | None,
        *,
        config: StepwiseTrackConfig | None = None,
    ) -> None:
        self._symmetries = item.bundle.symmetries
        self._geometry = geometry
        self._network = network
        self._config = config or StepwiseTrackConfig()
        self._judge = PoseJudge(item.mesh_lod, diameter_m=item.diameter_m, batch=1, config=self._config.judge)
        self._last: Float64 | None = None
        self._before: Float64 | None = None

    def start(self, frame: FrameBuffers, T_cam_centre: Float64) -> TrackStep:
        """Begin at a pose that is known for this frame: learn the colours around it, forget all motion."""
        self._geometry.update_appearance(frame, T_cam_centre, forget=True)
        self._last = self._before = T_cam_centre
        residual = float(self._geometry.terms_at(frame, T_cam_centre[None]).residual[0])
        return self._step(frame, T_cam_centre, residual, network_used=False)

    def place(self, T_last: Float64, T_before: Float64) -> None:
        """Go on from the last two poses of somebody else; what was learned stays."""
        self._last, self._before = T_last, T_before

    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What tracking learned of the object's colours, see `local_search.nearby_mask`; None before `start`."""
        return self._geometry.colour_log_odds()

    def update(self, frame: FrameBuffers) -> TrackStep:
        """The pose in the next frame.

        Raises:
            InputError: Nobody called `start`.
        """
        if self._last is None or self._before is None:
            raise InputError("tracker: no pose to start from; call start() with a registered pose first")
        config = self._config
        found = self._geometry.refine(frame, motion_starts(self._last, self._before))
        wanted = config.ask_network == "always" or (config.ask_network == "in doubt" and not found.trusted)
        network_used = self._network is not None and wanted
        # The sum is a number where all entries are: a rotation and a place in front of the camera do not overflow.
        is_non_finite = not (math.isfinite(found.T_cam_centre.sum()) and found.T_cam_centre[2, 3] > 0.0)
        if is_non_finite:
            found = replace(found, T_cam_centre=self._last, residual=1.0, trusted=False)
        if self._network is not None and network_used:
            poses = np.stack([self._last, found.T_cam_centre])
            non_finite_count = self._network.non_finite_count
            for _ in range(config.network_iterations):
                poses = self._network(frame, poses)
            is_non_finite = is_non_finite or self._network.non_finite_count > non_finite_count
            again = self._geometry.refine(frame, poses)
            if again.residual < found.residual:
                found = again
        pose = nearest_symmetric(found.T_cam_centre, self._last, self._symmetries)
        if found.trusted:  # never learn the colours of what may be something else
            self._geometry.update_appearance(frame, pose)
        self._last, self._before = pose, self._last
        return self._step(frame, pose, found.residual, network_used=network_used, is_non_finite=is_non_finite)

    def _step(
        self, frame: FrameBuffers, pose: Float64, residual: float, *, network_used: bool, is_non_finite: bool = False
    ) -> TrackStep:
        judged = self._judge.judge(frame, pose[None], mask=None)
        return TrackStep(
            T_cam_centre=pose,
            confidence=float(pose_confidence(judged.visible[0], residual, judged.occluded[0])),
            residual=residual,
            network_used=network_used,
            is_non_finite=is_non_finite,
        )
