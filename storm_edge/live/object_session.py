"""One object of a session: tracks it in every frame, tells the state machine what came of it, reports its pose.

`state_machine` decides and `executor` does what it asks for. While there is a pose, the tracker follows it in every
frame and the verifier scores it every few frames. While there is none, the recovery (`recovery`) goes on by a few
chunks per frame, so that whatever else runs in the session waits for no more than one, or on the background lane.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import UnitError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import check_pose, invert
from storm_edge.kernels.host_threads import launching_on
from storm_edge.live.arbiter import RecoveryPriority
from storm_edge.live.batched_group import BatchedGroup
from storm_edge.live.camera_doubt import doubting
from storm_edge.live.config import SessionConfig, StormConfig
from storm_edge.live.events import Event, FrameArrived, PoseGiven, PoseScored, ScoreSource
from storm_edge.live.executor import ActionExecutor, ExecutorParts
from storm_edge.live.instance_places import InstancePlaces
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.live.lanes.verification import VerificationResult
from storm_edge.live.object_state import ObjectState, RecoveryStep
from storm_edge.live.object_tracker import TrackedPose
from storm_edge.live.state_machine import advance
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.track.contract import FoundPose, SettledPose, TrackStep
from storm_edge.thread_limit import usable_threads

Float64 = NDArray[np.float64]

_log = logging.getLogger(__name__)

_PRIORITIES = {
    RecoveryStep.PROPAGATE: RecoveryPriority.PROPAGATE,
    RecoveryStep.LOCAL_SEARCH: RecoveryPriority.LOCAL_SEARCH,
    RecoveryStep.SEARCH: RecoveryPriority.SEARCH,
    RecoveryStep.REGISTER: RecoveryPriority.SEARCH,
}


@dataclass(frozen=True, kw_only=True)
class ObjectParts(ExecutorParts):
    """What one object is searched, tracked and verified with; made by `factory.make_object_session`."""

    item: ObjectOnDevice
    """The object."""
    registrar: Registrar
    """Finds poses from masks."""
    detector: Detector | None
    """Searches the whole image; without one the first pose must be given, and a lost object is searched for around
    its last place only."""
    network: PoseRefiner | None
    """RefineNet on this object; None tracks by geometry alone."""
    group: BatchedGroup | None
    """What tracks this object together with others; None where it is tracked by itself."""
    places: InstancePlaces
    """Where the other instances of its model are, and this one."""


class ObjectSession:
    """One object that is searched for and tracked.

    Args:
        parts: What it is searched, tracked and verified with.
        config: Schedules and thresholds.

    Attributes:
        is_camera_doubted: Whether its session doubts the intrinsics (`camera_doubt`); a pose must fit better then.
        is_after_pause: Whether the camera paused before the frame that comes next (`frame_gate`).
    """

    def __init__(self, parts: ObjectParts, config: StormConfig) -> None:
        self.bundle: ObjectBundle = parts.item.bundle
        self.group = parts.group
        self.device: str = parts.item.device.alias
        self._parts, self._config = parts, config.session
        self._search_threads = usable_threads(config.search_threads)
        self._executor = ActionExecutor(parts, config)
        self._tracker, self._task, self._lane = parts.tracker, parts.recovery_task, parts.recovery_lane
        self._verification, self._engine_recovery = parts.verification, parts.engine_recovery
        self._T_centre_obj = invert(self.bundle.T_obj_centre)
        self._state = ObjectState()
        # Without a detector the old place is all that can be searched.
        unlimited = replace(config.state_machine, local_search_attempts=None)
        self._machine_config = unlimited if parts.detector is None else config.state_machine
        self._doubting_config = doubting(self._machine_config)
        self.is_camera_doubted = self.is_after_pause = self._is_verification_late = False
        self.set_verification_turn(0, 1)

    @property
    def state(self) -> ObjectState:
        """What the state machine knows."""
        return self._state

    @property
    def track_prior(self) -> TrackPrior | None:
        """What is known of the object since it was tracked; None before."""
        return self._executor.track_prior

    @property
    def detector(self) -> Detector | None:
        """What can find the object in a whole image; None where nothing can."""
        return self._parts.detector

    @property
    def recovery_priority(self) -> RecoveryPriority | None:
        """How urgent its recovery is; None where it is tracked, or nothing is to be done yet."""
        attempt = self._state.attempt
        if self._state.has_pose or attempt is None or not self._lane.is_pending:
            return None
        return _PRIORITIES[attempt.step]

    @property
    def is_recovery_submitted(self) -> bool:
        """Whether the background lane has its work."""
        return self._lane.is_submitted

    @property
    def rebuild_reasons(self) -> dict[str, str]:
        """Why each lane was rebuilt that was, of all objects of the run."""
        return self._engine_recovery.health.rebuild_reasons

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers of networks so far that were not finite, by network; each was left out."""
        parts = self._parts
        counts = Counter(parts.registrar.non_finite_count)
        counts.update({} if parts.detector is None else parts.detector.non_finite_count)
        counts["refine"] += 0 if parts.network is None else parts.network.non_finite_count
        counts["refine"] += self._tracker.non_finite_count
        counts["tom"] += self._verification.non_finite_count
        return dict(counts)

    def register(self, frame: Frame, buffers: FrameBuffers, mask: NDArray[np.bool_]) -> Track:
        """Find the pose from a mask ``(H, W)`` and start tracking there; see `Registrar.chunks` for errors."""
        started = time.perf_counter()
        with launching_on(self._search_threads):
            found = self._engine_recovery.run(Lane.LOCATE, lambda: self._parts.registrar.register(buffers, mask))
        others = partial(self._other_poses, buffers, mask)
        known = FoundPose(T_cam_centre=found.T_cam_centre, others=found.ranked[1:], mask=mask, more=others)
        settled = self._tracker.settle(frame, buffers, known)
        given = PoseGiven(frame=frame.index, score=0.0, is_non_finite=found.is_non_finite)
        given = replace(given, is_side_doubted=settled.is_side_doubted)
        self._start_at(frame, buffers, settled, given)
        return self.report(frame, {"register": _ms_since(started)})

    def _other_poses(self, buffers: FrameBuffers, mask: NDArray[np.bool_]) -> Float64:
        """Poses ``(N, 4, 4)`` that a longer registration of a mask ends with."""
        registrar = self._parts.registrar
        work = partial(registrar.chunks, buffers, mask, stages=registrar.config.long_stages)
        with launching_on(self._search_threads):
            return self._engine_recovery.run(Lane.LOCATE, lambda: run_to_completion(work())).ranked

    def start(self, frame: Frame, buffers: FrameBuffers, T_cam_obj: Float64) -> Track:
        """Start tracking at a pose ``(4, 4)`` [m] that is known from outside.

        Raises:
            InputError: That is no rigid motion.
            UnitError: It is not in metres; or the object would be a speck there, or fill many images.
        """
        started = time.perf_counter()
        T_cam_obj = check_pose(T_cam_obj)
        check_apparent_size(self.bundle.diameter_m, T_cam_obj, frame, self._config)
        given = PoseGiven(frame=frame.index, score=0.0)
        self._start_at(frame, buffers, SettledPose(T_cam_centre=T_cam_obj @ self.bundle.T_obj_centre), given)
        return self.report(frame, {"start": _ms_since(started)})

    def wait(self, frame: Frame) -> Track:
        """A frame in which the object is neither searched for nor tracked."""
        self._frame_arrived(frame)
        return self.report(frame, {})

    def track(self, frame: Frame, buffers: FrameBuffers) -> Track:
        """Track the object into the next frame, or go on with its recovery."""
        spent_ms = self.update(frame, buffers)
        if not self._state.has_pose:
            started = time.perf_counter()
            self.run_recovery()
            spent_ms["locate"] = _ms_since(started)
        return self.report(frame, spent_ms)

    def update(self, frame: Frame, buffers: FrameBuffers) -> dict[str, float]:
        """The first half of `track`: track the object, or collect what the lane found; time by stage [ms]."""
        started = time.perf_counter()
        self._frame_arrived(frame)
        spent_ms = {}
        if self._state.has_pose:
            self._collect_verifications()
        if self._state.has_pose:
            # The first object that asks has the step of the group done; each object bears its share of the time.
            others_ms = 0.0 if self.group is None else self.group.spent_ms
            self._track(frame, buffers)
            spent_ms["track"] = _ms_since(started)
            if self.group is not None:
                spent_ms["track"] += self.group.share_ms - (self.group.spent_ms - others_ms)
        if not self._state.has_pose:
            self._parts.places.put(self.bundle.object_id, frame.index, None)
            self._task.keep(frame)
            answer = self._lane.collect()
            if answer is not None:
                self._handle(answer)
        return spent_ms

    def run_recovery(self) -> None:
        """The second half, while there is no pose: do some chunks of the work, or submit it to the lane."""
        if self._state.has_pose:
            return
        if self._lane.is_background:
            if self._lane.is_pending and self._state.attempt is not None:
                self._lane.submit(self._state.attempt.step.value)
            return
        # Before the first pose there is nothing to keep up with.
        is_limited = self._executor.track.T_cam_centre_trusted is not None
        for _ in range(self._config.chunks_per_frame) if is_limited else itertools.count():
            if not self._lane.is_pending:
                return
            with launching_on(self._search_threads):
                answer = self._lane.run_chunk()
            if answer is not None:
                self._handle(answer)

    def is_taken(self, frame: Frame, T_cam_centre: Float64) -> bool:
        """Whether another instance of the model is at a pose ``(4, 4)`` of the centred mesh."""
        return self._parts.places.is_taken(self.bundle.object_id, frame.index, T_cam_centre)

    def set_verification_turn(self, place: int, count: int) -> None:
        """Be verified in frames of its own: it is at ``place`` of ``count`` objects that are tracked together."""
        self._verify_every = max(self._config.verify_every, count)
        # Not in the frames in which geometry probes turned poses: both together would make the slowest frame.
        self._verify_place = (1 + place) % self._verify_every

    def stop(self) -> None:
        """End what is in progress; the object is not tracked any more."""
        self._lane.cancel()
        self._settle_verifier()
        self._tracker.leave()
        self._parts.places.put(self.bundle.object_id, 0, None)

    def resume(self) -> None:
        """Be tracked again after `stop`."""
        self._tracker.resume()

    def relocalise(self) -> None:
        """Give up the pose, the attempt and what is known of earlier poses; the next frame begins a search."""
        before = self._state
        self._lane.cancel()
        self._executor.forget(before)
        self._parts.places.put(self.bundle.object_id, before.frame, None)
        # Numbers of attempts go on, so that no answer to an old one is taken for one to the next.
        self._state = ObjectState(frame=before.frame, time_s=before.time_s, attempt_count=before.attempt_count)
        was, now = before.track_state.value, self._state.track_state.value
        _log.info("%s: %s -> %s at frame %d: on request", self.bundle.object_id, was, now, before.frame)

    def show(self, frame: Frame, *, is_read: bool) -> FrameBuffers:
        """The buffers of the group's step with a picture in them; see `BatchedGroup.show`."""
        group = self.group
        assert group is not None
        return self._engine_recovery.run(Lane.TRACK, lambda: group.show(frame, is_read=is_read))

    def report(self, frame: Frame, spent_ms: dict[str, float]) -> Track:
        """What is known at this frame, after `update` and `run_recovery`."""
        pose = self._executor.track.pose if self._state.has_pose else None
        return Track(
            frame=frame.index,
            stamp_ns=frame.stamp_ns,
            object_id=self.bundle.object_id,
            state=self._state.track_state,
            T_cam_obj=None if pose is None else pose.T_cam_centre @ self._T_centre_obj,
            confidence=0.0 if pose is None else pose.step.confidence,
            ambiguous=None if pose is None else pose.step.ambiguous,
            pose_age_ms=None if pose is None else (frame.stamp_ns - pose.frame.stamp_ns) * 1e-6,
            latency_ms=spent_ms,
        )

    def _frame_arrived(self, frame: Frame) -> None:
        time_s = frame.stamp_ns * 1e-9
        self._handle(FrameArrived(frame=frame.index, time_s=time_s, is_after_pause=self.is_after_pause))

    def _handle(self, event: Event) -> None:
        """Tell the state machine, and do what it asks for."""
        before = self._state
        config = self._doubting_config if self.is_camera_doubted else self._machine_config
        self._state, actions = advance(before, event, config)
        if self._state.track_state is not before.track_state:
            was, now = before.track_state.value, self._state.track_state.value
            _log.info("%s: %s -> %s at frame %d: %s", self.bundle.object_id, was, now, self._state.frame, event)
        for action in actions:
            self._executor.execute(action, self._state)

    def _start_at(self, frame: Frame, buffers: FrameBuffers, pose: SettledPose, given: PoseGiven) -> None:
        self._frame_arrived(frame)
        self._lane.cancel()  # it may be using the catch-up tracker
        self._settle_verifier()
        # Every track begins with the catch-up tracker; `StartTrack` hands over from it.
        step = self._engine_recovery.run(Lane.TRACK, lambda: self._task.start_at(frame, buffers, pose))
        self._handle(replace(given, score=step.confidence))
        self._parts.places.put(self.bundle.object_id, frame.index, step.T_cam_centre)

    def _track(self, frame: Frame, buffers: FrameBuffers) -> None:
        step = self._engine_recovery.run(Lane.TRACK, lambda: self._tracker.update(frame, buffers))
        is_taken = self.is_taken(frame, step.T_cam_centre)
        if is_taken:  # two instances on one object: the one that came there gives way
            step = replace(step, confidence=0.0)
        self._parts.places.put(self.bundle.object_id, frame.index, None if is_taken else step.T_cam_centre)
        track = self._executor.track
        track.pose = TrackedPose(frame=frame, buffers=buffers, step=step)
        self._handle(
            PoseScored(
                frame=frame.index,
                source=ScoreSource.GEOMETRY,
                score=step.confidence,
                is_non_finite=step.is_non_finite,
                is_side_doubted=step.is_side_doubted,
            )
        )
        if self._state.has_pose and self._is_time_to_verify(frame, step):
            self._handle_verification(
                self._engine_recovery.run(Lane.VERIFY, lambda: self._verification.request(frame, buffers, step))
            )
        if self._state.trusted_frame == frame.index != self._state.non_finite_frame:
            track.T_cam_centre_trusted = step.T_cam_centre

    def _is_time_to_verify(self, frame: Frame, step: TrackStep) -> bool:
        """Whether to ask the verifier about a step: in turn, and always where the track is suspect.

        A turn waits where the side was asked about, since both together would make the slowest frames, but no longer
        than until the next turn.
        """
        is_turn, is_late = frame.index % self._verify_every == self._verify_place, self._is_verification_late
        is_suspect = self._state.track_state is TrackState.SUSPECT
        self._is_verification_late = step.is_side_asked and is_turn != is_late and not is_suspect
        return is_suspect or ((is_turn or is_late) and not self._is_verification_late)

    def _collect_verifications(self) -> None:
        """What the lane came to since the last frame, about a frame before this one."""
        while (result := self._engine_recovery.run(Lane.VERIFY, self._verification.collect)) is not None:
            self._handle_verification(result)

    def _handle_verification(self, result: VerificationResult | None) -> None:
        if result is not None:
            found = result.verification
            self._handle(
                PoseScored(
                    frame=result.frame,
                    source=ScoreSource.NETWORK,
                    score=found.score,
                    is_non_finite=found.is_non_finite,
                )
            )

    def _settle_verifier(self) -> None:
        self._engine_recovery.run(Lane.VERIFY, self._verification.settle)


def check_apparent_size(diameter_m: float, T_cam_obj: Float64, frame: Frame, config: SessionConfig) -> None:
    """Refuse a pose ``(4, 4)`` at which the object cannot have the unit of the scene.

    Raises:
        UnitError: It would be smaller than ``least_size_px`` or wider than ``most_image_widths``.
    """
    width = frame.size_px[1]
    span_px = frame.K[0, 0] * diameter_m / max(float(T_cam_obj[2, 3]), 1e-6)
    if not config.least_size_px <= span_px <= config.most_image_widths * width:
        raise UnitError(
            mismatch(
                f"object size at frame {frame.index}",
                f"a model of {diameter_m:.4g} m at {T_cam_obj[2, 3]:.4g} m, {span_px:.3g} px across",
                f"{config.least_size_px:g} px to {config.most_image_widths:g} image widths",
                "onboard the model with the other --unit, or check the labels' unit (BOP has mm)",
            )
        )


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
