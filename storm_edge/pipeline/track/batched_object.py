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
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.motion import MOTION_START_COUNT, TURN_COUNT
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.batched_launches import ObjectLaunches
from storm_edge.pipeline.track.confidence import track_judge
from storm_edge.pipeline.track.config import BatchedTrackConfig, StepwiseTrackConfig
from storm_edge.pipeline.track.contract import TrackStep
from storm_edge.pipeline.track.stepwise import StepwiseTracker

Float64 = NDArray[np.float64]


class BatchedObject:
    """One object; its buffers are made here.

    Args:
        item: The object; its device is used.
        config: The schedule of a step; the polish, where there is one, are its geometry's ``narrow`` steps.
        hypothesis_count: Poses that are polished together in a step.
        fallback: How the stepwise tracker treats frames in doubt; None leaves them as they are.
        network: RefineNet for it.

    Attributes:
        bundle: The onboarded object.
        mesh: The mesh on the device that RefineNet is shown.
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
        config: BatchedTrackConfig,
        *,
        hypothesis_count: int,
        fallback: StepwiseTrackConfig | None = None,
        network: PoseRefiner | None = None,
    ) -> None:
        self.bundle, self.mesh = item.bundle, item.network_mesh
        batch = max(hypothesis_count, MOTION_START_COUNT + TURN_COUNT)
        self.geometry = GeometricRefiner(item.viewpoints, config=config.geometry, batch=batch)
        # What a step launches must not depend on who was started before it was captured.
        self.appearance.colours_known = self.appearance.exposure_known = True
        self.launches = ObjectLaunches(
            self.geometry.descents,
            track_judge(item, config.judge, batch=hypothesis_count),
            hypothesis_count=hypothesis_count,
            polish=config.geometry.narrow if config.polish else (),
        )
        self.last: Float64 = make_T(np.eye(3), [0.0, 0.0, config.idle_distance_diameters * item.diameter_m])
        self.before = self.last
        self.is_active = False
        self.non_finite_count = self.fallback_count = 0
        self._was_started = False
        self._tracker: StepwiseTracker | None = None
        if fallback is not None:
            self._tracker = StepwiseTracker(item, network, config=fallback, geometry=self.geometry)

    @property
    def appearance(self) -> AppearanceModel:
        """What is known of its colours and of the exposure."""
        return self.geometry.appearance

    @property
    def diameter_m(self) -> float:
        """Its diameter [m]."""
        return self.bundle.diameter_m

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
        self.geometry.reset(residual)
        self.last = self.before = np.array(T_cam_centre, dtype=np.float64)
        self.is_active = self._was_started = True

    def pause(self) -> None:
        """Follow it no longer; colours stay known until it begins again."""
        self.is_active, self.before = False, self.last

    def move(self, T_cam_centre: Float64) -> None:
        """It is here now."""
        self.last, self.before = T_cam_centre, self.last

    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What was learned of its colours, see `AppearanceModel.log_odds`; None before it began. Waits for the
        device."""
        return self.appearance.log_odds() if self._was_started else None

    def track_stepwise(self, frame: FrameBuffers) -> TrackStep:
        """What the ordinary tracker makes of this frame from the last poses; it learns where it trusts. Waits."""
        assert self._tracker is not None
        self.fallback_count += 1
        self._tracker.place(self.last, self.before)
        return self._tracker.update(frame)
