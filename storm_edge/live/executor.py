"""One object in the loop: does what the state machine asks for, and tells it what came of it.

`machine` decides; here its actions are done: tracking on every frame, and, while there is no pose, looking for the
object (`locating`) in chunks, a few per frame, so that whatever else runs in the loop waits for no more than one. A
pose that was found belongs to an old frame; a second tracker, the scout, takes it forward, and only when it has
arrived and is still believed it is the track: the two trackers change places, or the object's slot in the group that
follows all of them together (`track_group`) begins there.

A lost object is looked for around its last place first; with a detector then, and from the start, in the whole image.
With a verifier the track's crops are compared with remembered ones every few frames (`verifying`), a second voter
beside geometry; where a lane does that its vote is heard some frames later, about the frame that it judged.
A fault of a device or an engine is the matter of `faults`: the engines are opened anew and the work is done again, or
counts as failed where it was a search.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import UnitError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import check_pose, invert
from storm_edge.live.arbiter import RecoveryPriority
from storm_edge.live.batched_group import BatchedGroup
from storm_edge.live.config import StormConfig
from storm_edge.live.events import (
    Action,
    CancelAttempt,
    DropTrack,
    Event,
    ForgetCrops,
    FrameArrived,
    NothingFound,
    PoseGiven,
    PoseScored,
    Propagate,
    RegisterMask,
    RememberCrop,
    ScoreSource,
    SearchImage,
    SearchLocally,
    StartTrack,
)
from storm_edge.live.faults import EngineRecovery
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.live.lanes.verification import VerificationLane, VerificationResult
from storm_edge.live.object_state import ObjectState, RecoveryStep
from storm_edge.live.recovery import RecoveryTask, Work
from storm_edge.live.state_machine import advance
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.track.stepwise import StepwiseTracker, TrackStep
from storm_edge.pipeline.verify.verifier import Verifier

Float64 = NDArray[np.float64]
Result = TypeVar("Result")

_NEEDS = {
    RecoveryStep.PROPAGATE: RecoveryPriority.PROPAGATE,
    RecoveryStep.LOCAL_SEARCH: RecoveryPriority.LOCAL_SEARCH,
    RecoveryStep.SEARCH: RecoveryPriority.SEARCH,
    RecoveryStep.REGISTER: RecoveryPriority.SEARCH,
}

_SMALLEST_PX = 4.0  # an object smaller than this in the image, or ...
_LARGEST_IMAGES = 20.0  # ... this many image widths across is in another unit than the scene


class ObjectSession:
    """One object: where it starts, and what is believed about it; buffers are made here.

    Args:
        item: The object; its device is used.
        networks: The network bundle; None runs on geometry alone.
        config: Schedules and thresholds; the default ones when None.
        options: Where and how the engines run.
        detector: Searches the whole image; without one the first pose must be given, and a lost object is looked for
            around its last place only.
        verifier: The second voter; None leaves the judgement to geometry.
        lane: Does the locating and verifying beside the frames; None does the one in between, always in the same
            order, and the other at once.
        engine_recovery: Opens engines anew that failed; None has nothing to open, and tries again once.
        group: What follows this object together with others; None follows it by itself, step by step.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle | None,
        *,
        config: StormConfig | None = None,
        options: EngineOptions | None = None,
        detector: Detector | None = None,
        verifier: Verifier | None = None,
        lane: BackgroundLane | None = None,
        engine_recovery: EngineRecovery | None = None,
        group: BatchedGroup | None = None,
    ) -> None:
        self.bundle = bundle = item.bundle
        self.group = group
        self._detector, self._verifier = detector, verifier
        self._engine_recovery = replace(engine_recovery or EngineRecovery(), group=group)
        self._lane = lane
        self._ticket: LaneFuture[Event] | None = None
        self._config = config or StormConfig()
        self.set_verification_turn(0, 1)
        self._registrar = Registrar(item, networks, config=self._config.register, options=options)
        self._network: PoseRefiner | None = None
        if networks is not None:
            self._network = PoseRefiner(item, networks, batch=2, options=options)

        def tracker() -> StepwiseTracker:
            geometry = GeometricRefiner(item.viewpoints)
            return StepwiseTracker(item, geometry, self._network, config=self._config.track.stepwise)

        self._tracker = tracker() if group is None else None
        self._verifying = VerificationLane(verifier, lane, item.device.alias)
        self._slot = None if group is None else group.join(item, self._network)
        self._locator = RecoveryTask(
            item,
            self._registrar,
            tracker(),
            detector=detector,
            vote=self._verifying.verify,
            reacquire=self._config.reacquire,
            frames_per_chunk=self._config.loop.frames_per_chunk,
            kept_frames=self._config.loop.kept_frames,
        )
        self._T_centre_obj = invert(bundle.T_obj_centre)
        self._state = ObjectState()
        machine = self._config.state_machine
        # Without a detector the old place is all there is to look at.
        self._machine = machine if detector is not None else replace(machine, local_search_attempts=None)
        self._step: TrackStep | None = None
        self._step_stamp_ns = 0
        self._trusted: Float64 | None = None
        self._work: Work | None = None
        self._at_hand: tuple[Frame, FrameBuffers, Float64] | None = None  # what `RememberCrop` is about

    @property
    def state(self) -> ObjectState:
        """What the machine knows."""
        return self._state

    @property
    def track_prior(self) -> TrackPrior | None:
        """What is known of the object since it was followed; None before."""
        if self._trusted is None:
            return None
        if self._slot is not None:
            colours = self._slot.colour_log_odds
        else:
            assert self._tracker is not None
            colours = self._tracker.colour_log_odds()
        rejected_regions = self._locator.rejected_regions
        return TrackPrior(T_cam_centre=self._trusted, colour_log_odds=colours, rejected_regions=rejected_regions)

    @property
    def searches(self) -> bool:
        """Whether it can find the object in a whole image."""
        return self._detector is not None

    @property
    def need(self) -> RecoveryPriority | None:
        """What it waits for; None where it is followed, or nothing is to be done yet."""
        attempt = self._state.attempt
        if self._state.has_pose or attempt is None or (self._work is None and self._ticket is None):
            return None
        return _NEEDS[attempt.step]

    @property
    def in_progress(self) -> bool:
        """Whether the lane is at its work."""
        return self._ticket is not None

    @property
    def rebuilt(self) -> dict[str, str]:
        """Why each lane was rebuilt that was, of all objects of the run."""
        return self._engine_recovery.health.rebuilt

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers of networks so far that were no numbers, by network; each was gone on without."""
        counts = Counter(self._registrar.non_finite_count)
        counts.update({} if self._detector is None else self._detector.non_finite_count)
        counts["refine"] += 0 if self._network is None else self._network.non_finite_count
        counts["refine"] += 0 if self._slot is None else self._slot.item.non_finite_count
        counts["tom"] += 0 if self._verifier is None else self._verifier.non_finite_count
        return dict(counts)

    def register(self, frame: Frame, buffers: FrameBuffers, mask: NDArray[np.bool_]) -> Track:
        """Find the pose from a mask and start tracking there; see `Registrar.chunks` for errors."""
        started = time.perf_counter()
        found = self._surviving(Lane.LOCATE, lambda: self._registrar.register(buffers, mask))
        return self._begin(frame, buffers, found.T_cam_centre, "register", started, is_non_finite=found.is_non_finite)

    def start(self, frame: Frame, buffers: FrameBuffers, T_cam_obj: Float64) -> Track:
        """Start tracking at a pose that somebody else knows.

        Raises:
            InputError: That is no rigid motion.
            UnitError: It is not in metres; or the object would be a speck there, or fill many images.
        """
        started = time.perf_counter()
        T_cam_obj = check_pose(T_cam_obj)
        check_apparent_size(self.bundle.diameter_m, T_cam_obj, frame)
        return self._begin(frame, buffers, T_cam_obj @ self.bundle.T_obj_centre, "start", started)

    def wait(self, frame: Frame) -> Track:
        """A frame in which nothing is known and nothing is asked for."""
        self._tick(frame)
        return self.report(frame, {})

    def track(self, frame: Frame, buffers: FrameBuffers) -> Track:
        """Follow the object into the next frame, or go on looking for it."""
        spent = self.advance(frame, buffers)
        if not self._state.has_pose:
            started = time.perf_counter()
            self.locate()
            spent["locate"] = (time.perf_counter() - started) * 1e3
        return self.report(frame, spent)

    def advance(self, frame: Frame, buffers: FrameBuffers) -> dict[str, float]:
        """The first half of `track`: follow the object, or hear what the lane found; time by stage [ms]."""
        started = time.perf_counter()
        self._tick(frame)
        spent = {}
        if self._state.has_pose:
            self._hear_verifier()
        if self._state.has_pose:
            # The step of a group is done at the first question; each object bears its share of it.
            others_ms = 0.0 if self.group is None else self.group.spent_ms
            self._follow(frame, buffers)
            spent["track"] = (time.perf_counter() - started) * 1e3
            if self.group is not None:
                spent["track"] += self.group.share_ms - (self.group.spent_ms - others_ms)
        if not self._state.has_pose:
            self._locator.keep(frame)
            self._hear_lane()
        return spent

    def locate(self) -> None:
        """The second half, while there is no pose: do some chunks of the work under way, or hand it to the lane."""
        if self._state.has_pose:
            return
        if self._lane is not None:
            self._hand_in(self._lane)
            return
        seen_before = self._trusted is not None
        for _ in range(self._config.loop.chunks_per_frame) if seen_before else itertools.count():
            work = self._work
            if work is None:
                return
            try:
                next(work)
            except StopIteration as done:
                self._work = None
                self._hear(done.value)

    def set_verification_turn(self, place: int, count: int) -> None:
        """Verify in frames of its own: it is at ``place`` of ``count`` objects that are followed together."""
        self._verify_every = max(self._config.loop.verify_every, count)
        # Not in the frames in which geometry probes turned poses: both together would make the slowest frame.
        self._verify_place = (1 + place) % self._verify_every

    def stop(self) -> None:
        """End what is under way; the object is not to be followed any more."""
        self._drop_work()
        self._settle_verifier()
        if self._slot is not None:
            self._slot.leave()

    def resume(self) -> None:
        """Be followed again after `stop`."""
        if self._slot is not None:
            self._slot.resume()

    def show(self, frame: Frame, *, is_read: bool) -> FrameBuffers:
        """The buffers of the group's step with a picture in them; see `BatchedGroup.show`."""
        group = self.group
        assert group is not None
        return self._surviving(Lane.TRACK, lambda: group.show(frame, is_read=is_read))

    def _tick(self, frame: Frame) -> None:
        self._hear(FrameArrived(frame=frame.index, time_s=frame.stamp_ns * 1e-9))

    def _begin(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        T: Float64,
        stage: str,
        started: float,
        *,
        is_non_finite: bool = False,
    ) -> Track:
        self._tick(frame)
        self._drop_work()  # it may be using the scout
        self._settle_verifier()
        # Every track begins with the scout; the machine's Begin makes it the tracker.
        step = self._surviving(Lane.TRACK, lambda: self._locator.given(frame, buffers, T))
        self._hear(PoseGiven(frame=frame.index, score=step.confidence, is_non_finite=is_non_finite))
        return self.report(frame, {stage: (time.perf_counter() - started) * 1e3})

    def _follow(self, frame: Frame, buffers: FrameBuffers) -> None:
        step = self._surviving(Lane.TRACK, lambda: self._tracked(frame, buffers))
        self._step, self._step_stamp_ns = step, frame.stamp_ns
        self._at_hand = (frame, buffers, step.T_cam_centre)
        self._hear(
            PoseScored(
                frame=frame.index,
                source=ScoreSource.GEOMETRY,
                score=step.confidence,
                is_non_finite=step.is_non_finite,
            )
        )
        due = frame.index % self._verify_every == self._verify_place
        due = due or self._state.track_state is TrackState.SUSPECT
        if due and self._state.has_pose:
            self._hear_vote(
                self._surviving(Lane.VERIFY, lambda: self._verifying.request(frame, buffers, step.T_cam_centre))
            )
        if self._state.trusted_frame == frame.index != self._state.non_finite_frame:
            self._trusted = step.T_cam_centre

    def _tracked(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        if self._slot is not None:
            return self._slot.step(frame)
        assert self._tracker is not None
        return self._tracker.update(buffers)

    def _hear_verifier(self) -> None:
        """What the lane came to since the last frame, about a frame before this one."""
        while (vote := self._surviving(Lane.VERIFY, self._verifying.collect)) is not None:
            self._hear_vote(vote)

    def _hear_vote(self, vote: VerificationResult | None) -> None:
        if vote is not None:
            found = vote.verification
            self._hear(
                PoseScored(
                    frame=vote.frame, source=ScoreSource.NETWORK, score=found.score, is_non_finite=found.is_non_finite
                )
            )

    def _settle_verifier(self) -> None:
        self._surviving(Lane.VERIFY, self._verifying.settle)

    def _hear(self, event: Event) -> None:
        """Tell the machine, and do what it asks for."""
        self._state, actions = advance(self._state, event, self._machine)
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        if isinstance(action, SearchLocally):
            self._work = self._guarded(action.attempt, self._locator.search_locally(action.attempt, self.track_prior))
        elif isinstance(action, SearchImage):
            self._work = self._guarded(action.attempt, self._locator.search(action.attempt, self.track_prior))
        elif isinstance(action, RegisterMask):
            track_prior = self.track_prior
            brief = track_prior is not None and (self._state.failure_count + 1) % self._config.loop.thorough_every
            budget = self._config.detect.reacquire if brief else self._config.detect.full
            work = self._locator.register_candidates(action.attempt, track_prior, budget)
            self._work = self._guarded(action.attempt, work)
        elif isinstance(action, Propagate):
            self._work = self._guarded(action.attempt, self._locator.propagate(action.attempt))
        elif isinstance(action, CancelAttempt):
            self._drop_work()
        elif isinstance(action, StartTrack):
            self._begin_to_follow()
        elif isinstance(action, DropTrack):
            self._settle_verifier()  # whoever takes a pose forward asks it, too
            if self._slot is not None:
                self._surviving(Lane.TRACK, self._slot.drop)
        elif isinstance(action, RememberCrop):
            assert self._at_hand is not None
            at_hand = self._at_hand
            self._surviving(Lane.VERIFY, lambda: self._verifying.remember(*at_hand))
        elif isinstance(action, ForgetCrops):
            self._verifying.forget()

    def _begin_to_follow(self) -> None:
        """What the scout came to is the track from now on."""
        locator = self._locator
        assert locator.found is not None
        assert locator.at_hand is not None
        frame, T = locator.found
        if self._slot is not None:
            self._slot.begin(frame, T)
        else:
            assert self._tracker is not None
            self._tracker, locator.catch_up_tracker = locator.catch_up_tracker, self._tracker
        self._step, self._step_stamp_ns = locator.step, frame.stamp_ns
        self._trusted, self._at_hand = T, (frame, *locator.at_hand)
        self._drop_work()
        locator.begun()

    def _surviving(self, lane: Lane, work: Callable[[], Result]) -> Result:
        """Do work of a lane; after a fault once more, on engines that were opened anew."""
        while True:
            try:
                return work()
            except Exception as error:
                self._engine_recovery.recover(lane, error)

    def _guarded(self, attempt: int, work: Work) -> Work:
        """The same work, failed if its lane had to be rebuilt."""
        try:
            return (yield from work)
        except Exception as error:
            self._engine_recovery.recover(Lane.LOCATE, error)
            return NothingFound(attempt=attempt)

    def _hear_lane(self) -> None:
        """What the lane came to; its answer may start the next work."""
        if self._ticket is not None and self._ticket.done():
            answer = self._ticket.result()
            self._ticket, self._work = None, None
            if answer is not None:
                self._hear(answer)

    def _hand_in(self, lane: BackgroundLane) -> None:
        if self._ticket is None and self._work is not None:
            attempt = self._state.attempt
            assert attempt is not None
            self._ticket = lane.submit(self._work, kind=attempt.step.value)

    def _drop_work(self) -> None:
        """Stop what is under way; its buffers are free afterwards."""
        if self._ticket is not None:
            self._ticket.cancel()
        self._ticket, self._work = None, None

    def report(self, frame: Frame, spent_ms: dict[str, float]) -> Track:
        """What is known at this frame, after `advance` and `locate`."""
        step = self._step if self._state.has_pose else None
        return Track(
            frame=frame.index,
            stamp_ns=frame.stamp_ns,
            object_id=self.bundle.object_id,
            state=self._state.track_state,
            T_cam_obj=None if step is None else step.T_cam_centre @ self._T_centre_obj,
            confidence=0.0 if step is None else step.confidence,
            pose_age_ms=None if step is None else (frame.stamp_ns - self._step_stamp_ns) * 1e-6,
            latency_ms=spent_ms,
        )


def check_apparent_size(diameter_m: float, T_cam_obj: Float64, frame: Frame) -> None:
    """Refuse a pose at which the object cannot have the unit of the scene.

    Raises:
        UnitError: It would span less than 4 px or more than 20 images.
    """
    width = frame.size_px[1]
    span_px = frame.K[0, 0] * diameter_m / max(float(T_cam_obj[2, 3]), 1e-6)
    if not _SMALLEST_PX <= span_px <= _LARGEST_IMAGES * width:
        raise UnitError(
            mismatch(
                f"object size at frame {frame.index}",
                f"a model of {diameter_m:.4g} m at {T_cam_obj[2, 3]:.4g} m, {span_px:.3g} px across",
                f"{_SMALLEST_PX:g} px to {_LARGEST_IMAGES:g} image widths",
                "onboard the model with the other --unit, or check the labels' unit (BOP has mm)",
            )
        )
