"""Track: from the last pose to the next one, and how sure of it we are.

Geometry runs on every frame; where its residual says that it went wrong, RefineNet corrects the pose and geometry
finishes from there. What is reported is the pose with the lowest residual. What the network adds is measured by
``benchmarks run accuracy`` with ``--bundle nano`` against ``--bundle none``.

`StepwiseTrackConfig.moved_by` may leave the pose to RefineNet alone; geometry then only says how well it fits.

Poses are of the centred mesh (``T_cam_centre``).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import EngineError, InputError, mismatch
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.motion import motion_starts
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.confidence import colour_doubt, pose_confidence, track_judge
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.pipeline.track.contract import TrackStep

Float64 = NDArray[np.float64]


class StepwiseTracker:
    """Follows one object; buffers are made here.

    Args:
        item: The object.
        network: RefineNet on this object, or None to track by geometry alone.
        config: When the network runs, and how poses are judged.
        geometry: Its geometric refiner, whose appearance and baseline go on; one of ``config`` where None.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        network: PoseRefiner | None,
        *,
        config: StepwiseTrackConfig | None = None,
        geometry: GeometricRefiner | None = None,
    ) -> None:
        self._symmetries = item.bundle.symmetries
        self._network = network
        self._config = config = config or StepwiseTrackConfig()
        self._geometry = geometry or GeometricRefiner(item.viewpoints, config=config.geometry)
        self._judge = track_judge(item, config.judge, batch=1)
        self._last: Float64 | None = None
        self._before: Float64 | None = None
        if network is None and config.moved_by == "network":
            remedy = "give a bundle with RefineNet, or another schedule"
            raise EngineError(mismatch("tracker", "no RefineNet", "one, which is to move poses", remedy))

    def start(self, frame: FrameBuffers, T_cam_centre: Float64) -> TrackStep:
        """Begin at a pose that is known for this frame: learn the colours around it, forget all motion."""
        self._geometry.update_appearance(frame, T_cam_centre, forget=True)
        self._last = self._before = T_cam_centre
        residual = float(self._geometry.terms_at(frame, T_cam_centre[None]).residual[0])
        return self._step(frame, T_cam_centre, residual, network_used=False)

    def place(self, T_last: Float64, T_before: Float64) -> None:
        """Go on from the last two poses of somebody else; what was learned stays."""
        self._last, self._before = T_last, T_before

    @property
    def appearance(self) -> AppearanceModel:
        """What is known of the object's colours and of the exposure; see `Tracker.appearance`."""
        return self._geometry.appearance

    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What tracking learned of the object's colours, see `AppearanceModel.log_odds`; None before `start`."""
        return self.appearance.log_odds()

    def update(self, frame: FrameBuffers) -> TrackStep:
        """The pose in the next frame.

        Raises:
            InputError: Nobody called `start`.
        """
        if self._last is None or self._before is None:
            raise InputError("tracker: no pose to start from; call start() with a registered pose first")
        if self._config.moved_by == "network":
            return self._moved_by_network(frame, self._last)
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

    def _moved_by_network(self, frame: FrameBuffers, last: Float64) -> TrackStep:
        """RefineNet's iterations from the last pose ``(4, 4)``; an answer that is no number leaves that."""
        assert self._network is not None
        non_finite_count, poses = self._network.non_finite_count, last[None]
        for _ in range(self._config.network_iterations):
            poses = self._network(frame, poses)
        pose = poses[0]
        residual = float(self._geometry.terms_at(frame, poses).residual[0])
        if self._geometry.baseline.is_trusted(residual):
            self._geometry.update_appearance(frame, pose)
        self._last, self._before = pose, last
        is_non_finite = self._network.non_finite_count > non_finite_count
        return self._step(frame, pose, residual, network_used=True, is_non_finite=is_non_finite)

    def _step(
        self, frame: FrameBuffers, pose: Float64, residual: float, *, network_used: bool, is_non_finite: bool = False
    ) -> TrackStep:
        judged, config = self._judge.judge(frame, pose[None], mask=None), self._config.confidence
        doubt = colour_doubt(judged.colour_angle[0], self._judge.noise_share(pose[2, 3]), config=config)
        confidence = pose_confidence(
            judged.visible[0], residual, judged.occluded[0], config=config, colour_doubt=doubt
        )
        return TrackStep(
            T_cam_centre=pose,
            confidence=float(confidence),
            residual=residual,
            network_used=network_used,
            visible=float(judged.visible[0]),
            is_non_finite=is_non_finite,
        )
