"""Does what the state machine asks for: one handler per type of action.

Searches are set as work for the `RecoveryLane`, which runs them in chunks; everything else is done at once. After a
fault of a device or an engine the engines are opened anew (`engine_recovery`); the search in progress then counts as
one that found nothing, and other work is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.live.config import StormConfig
from storm_edge.live.engine_recovery import EngineRecovery
from storm_edge.live.events import (
    Action,
    CancelAttempt,
    DoubtTrack,
    DropTrack,
    ForgetCrops,
    NothingFound,
    Propagate,
    RegisterMask,
    RememberCrop,
    SearchImage,
    SearchLocally,
    StartTrack,
)
from storm_edge.live.lanes.recovery import RecoveryLane, Work
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.live.lanes.verification import VerificationLane
from storm_edge.live.object_state import ObjectState
from storm_edge.live.object_tracker import ObjectTracker, TrackedPose
from storm_edge.live.recovery import RecoveryTask
from storm_edge.pipeline.detect.detection import TrackPrior

Float64 = NDArray[np.float64]


@dataclass
class CurrentTrack:
    """Where the object is, as the executor and the tracking of each frame leave it."""

    pose: TrackedPose | None = None
    """The newest tracked pose; the last one after a loss, None before the first."""
    T_cam_centre_trusted: Float64 | None = None
    """The newest trusted pose ``(4, 4)``; None before the first."""


@dataclass(frozen=True, kw_only=True)
class ExecutorParts:
    """What actions are done with."""

    tracker: ObjectTracker
    """Tracks the object."""
    recovery_task: RecoveryTask
    """Searches for it."""
    recovery_lane: RecoveryLane
    """Where those searches run."""
    verification: VerificationLane
    """Keeps the crops of the verifier."""
    engine_recovery: EngineRecovery
    """Opens engines anew that failed."""


class ActionExecutor:
    """Does the actions for one object.

    Args:
        parts: What they are done with.
        config: How often the full search budget is used, and what it is.
    """

    def __init__(self, parts: ExecutorParts, config: StormConfig) -> None:
        self.track = CurrentTrack()
        self._tracker, self._task, self._lane = parts.tracker, parts.recovery_task, parts.recovery_lane
        self._verification, self._engine_recovery = parts.verification, parts.engine_recovery
        self._config = config

    @property
    def track_prior(self) -> TrackPrior | None:
        """What is known of the object since it was tracked; None before."""
        if self.track.T_cam_centre_trusted is None:
            return None
        return TrackPrior(
            T_cam_centre=self.track.T_cam_centre_trusted,
            colour_log_odds=self._tracker.colour_log_odds,
            rejected_regions=self._task.rejected_regions,
        )

    def execute(self, action: Action, state: ObjectState) -> None:
        """Do an action.

        Args:
            action: What the state machine asked for.
            state: Its state since then.

        Raises:
            RunFault: A lane failed for good.
        """
        _HANDLERS[type(action)](self, action, state)

    def forget(self, state: ObjectState) -> None:
        """Drop the track and all that is remembered of where the object was."""
        self._drop_track(DropTrack(), state)
        self._verification.forget()
        self._task.clear()
        self.track = CurrentTrack()

    def _search_locally(self, action: SearchLocally, state: ObjectState) -> None:
        self._set_work(action.attempt, self._task.search_locally(action.attempt, self.track_prior))

    def _search_image(self, action: SearchImage, state: ObjectState) -> None:
        self._set_work(action.attempt, self._task.search_image(action.attempt, self.track_prior))

    def _register_mask(self, action: RegisterMask, state: ObjectState) -> None:
        prior = self.track_prior
        is_brief = prior is not None and (state.failure_count + 1) % self._config.session.full_search_every
        budget = self._config.detect.reacquire if is_brief else self._config.detect.full
        self._set_work(action.attempt, self._task.register_candidates(action.attempt, prior, budget))

    def _propagate(self, action: Propagate, state: ObjectState) -> None:
        self._set_work(action.attempt, self._task.propagate(action.attempt))

    def _cancel_attempt(self, action: CancelAttempt, state: ObjectState) -> None:
        self._lane.cancel()

    def _start_track(self, action: StartTrack, state: ObjectState) -> None:
        pose = self._task.propagated
        assert pose is not None
        self._tracker.start(pose.frame, pose.T_cam_centre)
        self.track.pose, self.track.T_cam_centre_trusted = pose, pose.T_cam_centre
        self._lane.cancel()
        self._task.clear()

    def _doubt_track(self, action: DoubtTrack, state: ObjectState) -> None:
        self._tracker.doubt()

    def _drop_track(self, action: DropTrack, state: ObjectState) -> None:
        self._engine_recovery.run(Lane.VERIFY, self._verification.settle)  # propagated poses are verified, too
        self._engine_recovery.run(Lane.TRACK, self._tracker.drop)

    def _remember_crop(self, action: RememberCrop, state: ObjectState) -> None:
        pose = self.track.pose
        assert pose is not None
        self._engine_recovery.run(
            Lane.VERIFY, lambda: self._verification.remember(pose.frame, pose.buffers, pose.T_cam_centre)
        )

    def _forget_crops(self, action: ForgetCrops, state: ObjectState) -> None:
        self._verification.forget()

    def _set_work(self, attempt: int, work: Work) -> None:
        self._lane.set_work(self._survive(attempt, work))

    def _survive(self, attempt: int, work: Work) -> Work:
        """The same work, in vain if its lane had to be rebuilt."""
        try:
            return (yield from work)
        except Exception as error:
            self._engine_recovery.recover(Lane.LOCATE, error)
            return NothingFound(attempt=attempt)


_HANDLERS: dict[type[Action], Callable[[ActionExecutor, Any, ObjectState], None]] = {
    SearchLocally: ActionExecutor._search_locally,
    SearchImage: ActionExecutor._search_image,
    RegisterMask: ActionExecutor._register_mask,
    Propagate: ActionExecutor._propagate,
    CancelAttempt: ActionExecutor._cancel_attempt,
    StartTrack: ActionExecutor._start_track,
    DoubtTrack: ActionExecutor._doubt_track,
    DropTrack: ActionExecutor._drop_track,
    RememberCrop: ActionExecutor._remember_crop,
    ForgetCrops: ActionExecutor._forget_crops,
}
"""What does each action. An executor that held its own methods would be freed, with its object, only when Python next
looks for cycles."""
