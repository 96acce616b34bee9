"""One object of `pipeline.track.batched`: its pose, its appearance, and the stepwise tracker for frames in doubt.

It outlives the `BatchedTracker` that follow it: when objects come or go, the camera changes its size, or an engine is
opened anew, the launches are made again around the same objects, and their poses and colours go on.

The fixed schedule has no wide search, no probing of turned poses and no second question to the network. Where its
best hypothesis does worse than this object usually does, the `StepwiseTracker` is asked about that one frame, from
the same last poses and on the same colours: what it does is known and measured, such frames are few, and a schedule
that held all of it would do it in every frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.device import Device
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.refine.descent import Descents
from storm_edge.pipeline.refine.geometric import GeometricConfig, GeometricRefiner
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.batched_launches import ObjectLaunches
from storm_edge.pipeline.track.stepwise import StepwiseTrackConfig, StepwiseTracker, TrackStep

Float64 = NDArray[np.float64]

_WIDE = 9
"""Starts of a wide search: three along the last motion, and the first turned both ways about three axes."""
_IDLE_DISTANCE = 4.0
"""Where an object that was never seen is thought to be: so many diameters before the camera, where it is drawn."""


class SharedGeometry(GeometricRefiner):
    """A refiner whose poses, colours and usual residual are also used by launches that do not ask it."""

    @property
    def descents(self) -> Descents:
        """Poses and colours on the device."""
        return self._descents

    @property
    def residual_baseline(self) -> float:
        """The usual residual on this track."""
        return self._residual_baseline

    def settle(self, residual: float) -> None:
        """Take the residual of a first pose as the usual one."""
        self._residual_baseline, self._pause = residual, 0

    def update_baseline(self, residual: float) -> None:
        """Let the residual of a trusted pose move the baseline."""
        rate = self.config.baseline_rates[residual > self._residual_baseline]
        self._residual_baseline += rate * (residual - self._residual_baseline)


class BatchedObject:
    """One object; its buffers are made here.

    Args:
        item: The object; its device is used.
        hypothesis_count: Poses that are polished together in a step.
        geometry: Limits, learning rates, and the polish (its ``narrow`` steps).
        judge: How poses are judged.
        fallback: How the stepwise tracker treats frames in doubt; None leaves them as they are.
        network: RefineNet for it.

    Attributes:
        bundle: The onboarded object.
        mesh: Its coarser mesh on the device.
        launches: What a step does with it.
        geometry: What was learned of it.
        last: Its last pose, ``(4, 4)``; of an object that was never started, some pose that can be drawn.
        before: The one before.
        is_active: Whether it is followed; one that is not takes part in every step, at its last pose, for nothing.
        non_finite_count: Answers of the network so far that were no numbers.
        fallback_count: Frames that the stepwise tracker was asked about.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        *,
        hypothesis_count: int,
        geometry: GeometricConfig,
        judge: JudgeConfig,
        fallback: StepwiseTrackConfig | None = None,
        network: PoseRefiner | None = None,
    ) -> None:
        self.bundle, self.mesh = item.bundle, item.mesh_lod
        self.geometry = SharedGeometry(item.viewpoints, config=geometry, batch=max(hypothesis_count, _WIDE))
        # What a step launches must not depend on who was started before it was captured.
        self.geometry.descents.colours_known = self.geometry.descents.exposure_known = True
        self.launches = ObjectLaunches(
            self.geometry.descents,
            PoseJudge(self.mesh, diameter_m=item.diameter_m, batch=hypothesis_count, config=judge),
            hypothesis_count=hypothesis_count,
            polish=geometry.narrow,
        )
        self.last: Float64 = make_T(np.eye(3), [0.0, 0.0, _IDLE_DISTANCE * item.diameter_m])
        self.before = self.last
        self.is_active = False
        self.non_finite_count = self.fallback_count = 0
        self._was_started = False
        self._tracker: StepwiseTracker | None = None
        if fallback is not None:
            self._tracker = StepwiseTracker(item, self.geometry, network, config=fallback)

    @property
    def device(self) -> Device:
        """Where it is."""
        return self.mesh.device

    @property
    def has_fallback(self) -> bool:
        """Whether the stepwise tracker is asked about frames in doubt."""
        return self._tracker is not None

    def begin(self, T_cam_centre: ArrayLike, residual: float) -> None:
        """Follow it from this pose ``(4, 4)`` on, whose colours were learned and whose residual this is."""
        self.geometry.settle(residual)
        self.last = self.before = np.array(T_cam_centre, dtype=np.float64)
        self.is_active = self._was_started = True

    def pause(self) -> None:
        """Follow it no longer; colours stay known until it begins again."""
        self.is_active, self.before = False, self.last

    def move(self, T_cam_centre: Float64) -> None:
        """It is here now."""
        self.last, self.before = T_cam_centre, self.last

    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What was learned of its colours, see `local_search.nearby_mask`; None before it began. Waits for the
        device."""
        return self.geometry.descents.log_odds() if self._was_started else None

    def is_doubtful(self, residual: float) -> bool:
        """Whether a residual is where the ordinary tracker begins its wide search."""
        return residual > self.geometry.residual_baseline + self.geometry.config.narrow_margin

    def is_trusted(self, residual: float) -> bool:
        """Whether colours may be learned at a pose with this residual."""
        config = self.geometry.config
        return residual <= max(self.geometry.residual_baseline + config.trust_margin, config.trust_below)

    def track_stepwise(self, frame: FrameBuffers) -> TrackStep:
        """What the ordinary tracker makes of this frame from the last poses; it learns where it trusts. Waits."""
        assert self._tracker is not None
        self.fallback_count += 1
        self._tracker.place(self.last, self.before)
        return self._tracker.update(frame)
