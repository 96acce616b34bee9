"""One object in the loop: does what the state machine asks for, and tells it what came of it.

`machine` decides; here is the work behind its actions: tracking on every frame, and, while there is no pose, looking
for the object in chunks, a few per frame, so that whatever else runs in the loop waits for no more than one chunk. A
pose that was found belongs to an old frame; a second tracker, the scout, takes it forward over the frames kept since,
and only when it has arrived and is still believed do the two change places.

A lost object is looked for around its last place first; with a finder then, and from the start, in the whole image.
With a verifier the track's crops are compared with remembered ones every few frames, a second voter beside geometry.
A fault of a device or an engine is the matter of `faults`: the engines are opened anew and the work is done again, or
counts as failed where it was a search.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.onnx_runtime import OrtOptions
from storm_edge.errors import MaskError, UnitError, bad
from storm_edge.frames import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.find import BRIEF, THOROUGH, Finder, Known
from storm_edge.perception.full_tom import TrackVerifier
from storm_edge.perception.geometric import GeometricRefiner
from storm_edge.perception.inputs import FrameBuffers
from storm_edge.perception.nearby import NearbyConfig, nearby_mask
from storm_edge.perception.networks import PoseRefiner
from storm_edge.perception.register import RegisterConfig, Registrar
from storm_edge.perception.segment import FrameLook, Segmentation
from storm_edge.perception.track import TrackConfig, Tracker, TrackStep
from storm_edge.perception.verify import Verification
from storm_edge.runtime.background import BackgroundLane, Ticket
from storm_edge.runtime.events import (
    Action,
    Begin,
    Cancel,
    Event,
    Failed,
    Forget,
    Forward,
    Given,
    Judged,
    LookNearby,
    MaskFound,
    PoseForwarded,
    PoseFound,
    Register,
    Remember,
    Search,
    Tick,
    Voter,
)
from storm_edge.runtime.faults import Rebuilder
from storm_edge.runtime.machine import Belief, MachineConfig, Step, advance
from storm_edge.runtime.outputs import State, Track
from storm_edge.runtime.scheduler import Lane
from storm_edge.runtime.turns import Need

Float64 = NDArray[np.float64]
Work = Generator[str | None, None, Event]  # yields the kind of chunk it did
Result = TypeVar("Result")

_NEEDS = {
    Step.FORWARD: Need.FORWARD,
    Step.NEARBY: Need.NEARBY,
    Step.SEARCH: Need.SEARCH,
    Step.REGISTER: Need.SEARCH,
}

_SMALLEST_PX = 4.0  # an object smaller than this in the image, or ...
_LARGEST_IMAGES = 20.0  # ... this many image widths across is in another unit than the scene


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Schedules, thresholds, and how much is done per frame."""

    register: RegisterConfig = field(default_factory=RegisterConfig)
    """The schedule of registration."""
    track: TrackConfig = field(default_factory=TrackConfig)
    """How tracking shares the work between geometry and network."""
    machine: MachineConfig = field(default_factory=lambda: MachineConfig(found_above=0.65, longest_wait_s=0.1))
    """When a pose is doubted, dropped and searched for."""
    nearby: NearbyConfig = field(default_factory=NearbyConfig)
    """Where a lost object is looked for first."""
    chunks_per_frame: int = 5
    """Chunks of locating work done per frame while there is no pose, where no lane does them beside the frames.
    Before the first pose there is nothing to keep up with: an attempt is done at once, as registration from a mask.
    """
    frames_per_chunk: int = 3
    """Frames that the scout follows in one chunk."""
    kept_frames: int = 60
    """Frames kept for the scout: 2 s at 30 Hz, 2 MiB each at 640x480."""
    brief_searches: int = 12
    """Failed attempts in a row, after a loss, from which on searches of the image are thorough."""
    verify_every: int = 3
    """Frames between questions to the verifier while nobody doubts; a doubted track is verified on every frame."""


class ObjectLoop:
    """One object: where it starts, and what is believed about it; buffers are made here.

    Args:
        bundle: The onboarded object.
        networks: The network bundle; None runs on geometry alone.
        config: Schedules and thresholds; the default ones when None.
        device: Warp device name.
        options: Where and how the engines run.
        finder: Searches the whole image; without one the first pose must be given, and a lost object is looked for
            around its last place only.
        verifier: The second voter; None leaves the judgement to geometry.
        lane: Does the locating beside the frames; None does it in between, always in the same order.
        rebuilder: Opens engines anew that failed; None has nothing to open, and tries again once.
    """

    def __init__(
        self,
        bundle: ObjectBundle,
        networks: NetworkBundle | None,
        *,
        config: LoopConfig | None = None,
        device: str = "cpu",
        options: OrtOptions | None = None,
        finder: Finder | None = None,
        verifier: TrackVerifier | None = None,
        lane: BackgroundLane | None = None,
        rebuilder: Rebuilder | None = None,
    ) -> None:
        self.bundle = bundle
        self._finder, self._verifier = finder, verifier
        self._rebuilder = rebuilder or Rebuilder()
        self._lane = lane
        self._ticket: Ticket[Event] | None = None
        self._config = config or LoopConfig()
        self.share_verifying(0, 1)
        self._device = device
        self._registrar = Registrar(bundle, networks, config=self._config.register, device=device, options=options)
        self._network: PoseRefiner | None = None
        if networks is not None:
            mesh = MeshBuffers.from_mesh(bundle.mesh_lod, device)
            self._network = PoseRefiner(mesh, networks, diameter_m=bundle.diameter_m, batch=2, options=options)
        self._tracker, self._scout = (
            Tracker(
                bundle,
                GeometricRefiner(bundle.viewpoints, device=device),
                self._network,
                config=self._config.track,
                device=device,
            )
            for _ in range(2)
        )
        self._T_centre_obj = invert(bundle.T_obj_centre)
        self._belief = Belief()
        machine = self._config.machine
        # Without a finder the old place is all there is to look at.
        self._machine = machine if finder is not None else replace(machine, nearby_every=1)
        self._step: TrackStep | None = None
        self._step_stamp_ns = 0
        self._trusted: Float64 | None = None
        self._work: Work | None = None
        self._locate_buffers: FrameBuffers | None = None
        self._kept: deque[Frame] = deque(maxlen=self._config.kept_frames)
        self._found: tuple[Frame, Float64] | None = None
        self._scout_index: int | None = None
        self._masks: tuple[FrameLook, Segmentation] | None = None
        self._at_hand: tuple[FrameBuffers, Float64] | None = None  # what `Remember` is about

    @property
    def belief(self) -> Belief:
        """What the machine knows."""
        return self._belief

    @property
    def searches(self) -> bool:
        """Whether it can find the object in a whole image."""
        return self._finder is not None

    @property
    def need(self) -> Need | None:
        """What it waits for; None where it is followed, or nothing is to be done yet."""
        attempt = self._belief.attempt
        if self._belief.has_pose or attempt is None or (self._work is None and self._ticket is None):
            return None
        return _NEEDS[attempt.step]

    @property
    def under_way(self) -> bool:
        """Whether the lane is at its work."""
        return self._ticket is not None

    @property
    def rebuilt(self) -> dict[str, str]:
        """Why each lane was rebuilt that was, of all objects of the run."""
        return self._rebuilder.health.rebuilt

    @property
    def unusable(self) -> dict[str, int]:
        """Answers of networks so far that were no numbers, by network; each was gone on without."""
        counts = Counter(self._registrar.unusable)
        counts.update({} if self._finder is None else self._finder.unusable)
        counts["refine"] += 0 if self._network is None else self._network.unusable
        counts["tom"] += 0 if self._verifier is None else self._verifier.unusable
        return dict(counts)

    def register(self, frame: Frame, buffers: FrameBuffers, mask: NDArray[np.bool_]) -> Track:
        """Find the pose from a mask and start tracking there; see `Registrar.chunks` for errors."""
        started = time.perf_counter()
        found = self._surviving(Lane.LOCATE, lambda: self._registrar.register(buffers, mask))
        return self._begin(frame, buffers, found.T_cam_centre, "register", started, faulty=found.faulty)

    def start(self, frame: Frame, buffers: FrameBuffers, T_cam_obj: Float64) -> Track:
        """Start tracking at a pose that somebody else knows.

        Raises:
            UnitError: At that pose the object would be a speck or fill many images.
        """
        started = time.perf_counter()
        check_apparent_size(self.bundle.diameter_m, T_cam_obj, frame)
        return self._begin(frame, buffers, T_cam_obj @ self.bundle.T_obj_centre, "start", started)

    def wait(self, frame: Frame) -> Track:
        """A frame in which nothing is known and nothing is asked for."""
        self._tick(frame)
        return self.report(frame, {})

    def track(self, frame: Frame, buffers: FrameBuffers) -> Track:
        """Follow the object into the next frame, or go on looking for it."""
        spent = self.advance(frame, buffers)
        if not self._belief.has_pose:
            started = time.perf_counter()
            self.locate()
            spent["locate"] = (time.perf_counter() - started) * 1e3
        return self.report(frame, spent)

    def advance(self, frame: Frame, buffers: FrameBuffers) -> dict[str, float]:
        """The first half of `track`: follow the object, or hear what the lane found; time by stage [ms]."""
        started = time.perf_counter()
        self._tick(frame)
        spent = {}
        if self._belief.has_pose:
            self._follow(frame, buffers)
            spent["track"] = (time.perf_counter() - started) * 1e3
        if not self._belief.has_pose:
            self._kept.append(frame)
            self._hear_lane()
        return spent

    def locate(self) -> None:
        """The second half, while there is no pose: do some chunks of the work under way, or hand it to the lane."""
        if self._belief.has_pose:
            return
        if self._lane is not None:
            self._hand_in(self._lane)
            return
        seen_before = self._trusted is not None
        for _ in range(self._config.chunks_per_frame) if seen_before else itertools.count():
            work = self._work
            if work is None:
                return
            try:
                next(work)
            except StopIteration as done:
                self._work = None
                self._hear(done.value)

    def share_verifying(self, place: int, count: int) -> None:
        """Verify in frames of its own: it is at ``place`` of ``count`` objects that are followed together."""
        self._verify_every = max(self._config.verify_every, count)
        # Not in the frames in which geometry probes turned poses: both together would make the slowest frame.
        self._verify_place = (1 + place) % self._verify_every

    def stop(self) -> None:
        """End what is under way; the object is not to be followed any more."""
        self._drop_work()

    def _tick(self, frame: Frame) -> None:
        self._hear(Tick(frame=frame.index, time_s=frame.stamp_ns * 1e-9))

    def _begin(
        self, frame: Frame, buffers: FrameBuffers, T: Float64, stage: str, started: float, *, faulty: bool = False
    ) -> Track:
        self._tick(frame)
        self._drop_work()  # it may be using the scout
        # Every track begins with the scout; the machine's Begin makes it the tracker.
        self._step = self._surviving(Lane.TRACK, lambda: self._scout.start(buffers, T))
        self._step_stamp_ns = frame.stamp_ns
        self._found, self._at_hand = (frame, T), (buffers, T)
        self._hear(Given(frame=frame.index, score=self._step.confidence, faulty=faulty))
        return self.report(frame, {stage: (time.perf_counter() - started) * 1e3})

    def _follow(self, frame: Frame, buffers: FrameBuffers) -> None:
        self._step = self._surviving(Lane.TRACK, lambda: self._tracker.update(buffers))
        self._step_stamp_ns = frame.stamp_ns
        self._at_hand = (buffers, self._step.T_cam_centre)
        step = self._step
        self._hear(Judged(frame=frame.index, voter=Voter.GEOMETRY, score=step.confidence, faulty=step.faulty))
        due = frame.index % self._verify_every == self._verify_place
        due = due or self._belief.state is State.SUSPECT
        votes = None
        if due and self._belief.has_pose:
            votes = self._surviving(Lane.VERIFY, lambda: self._verify(buffers, step.T_cam_centre))
        if votes is not None:
            self._hear(Judged(frame=frame.index, voter=Voter.NETWORK, score=votes.score, faulty=votes.faulty))
        if self._belief.trusted_frame == frame.index != self._belief.faulty_frame:
            self._trusted = step.T_cam_centre

    def _verify(self, buffers: FrameBuffers, T_cam_centre: Float64) -> Verification | None:
        """What the verifier thinks of a pose, None without one or without anything to compare with."""
        if self._verifier is None or not len(self._verifier):
            return None
        return self._verifier.verify(buffers, T_cam_centre)

    def _hear(self, event: Event) -> None:
        """Tell the machine, and do what it asks for."""
        self._belief, actions = advance(self._belief, event, self._machine)
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        if isinstance(action, LookNearby):
            self._work = self._guarded(action.attempt, self._look_nearby(action.attempt))
        elif isinstance(action, Forward):
            self._work = self._guarded(action.attempt, self._go_forward(action.attempt))
        elif isinstance(action, Cancel):
            self._drop_work()
        elif isinstance(action, Begin):
            assert self._found is not None
            self._tracker, self._scout = self._scout, self._tracker
            self._trusted = self._found[1]
            self._kept.clear()
            self._drop_work()
            self._found, self._scout_index = None, None
        elif isinstance(action, Search):
            self._work = self._guarded(action.attempt, self._search(action.attempt))
        elif isinstance(action, Register):
            self._work = self._guarded(action.attempt, self._register_candidates(action.attempt))
        elif isinstance(action, Remember) and self._verifier is not None:
            assert self._at_hand is not None
            verifier, at_hand = self._verifier, self._at_hand
            self._surviving(Lane.VERIFY, lambda: verifier.remember(*at_hand))
        elif isinstance(action, Forget) and self._verifier is not None:
            self._verifier.forget()

    def _surviving(self, lane: Lane, work: Callable[[], Result]) -> Result:
        """Do work of a lane; after a fault once more, on engines that were opened anew."""
        while True:
            try:
                return work()
            except Exception as error:
                self._rebuilder.absorb(lane, error)

    def _guarded(self, attempt: int, work: Work) -> Work:
        """The same work, failed if its lane had to be rebuilt."""
        try:
            return (yield from work)
        except Exception as error:
            self._rebuilder.absorb(Lane.LOCATE, error)
            return Failed(attempt=attempt)

    def _hear_lane(self) -> None:
        """What the lane came to; its answer may start the next work."""
        if self._ticket is not None and self._ticket.over:
            answer = self._ticket.answer()
            self._ticket, self._work = None, None
            if answer is not None:
                self._hear(answer)

    def _hand_in(self, lane: BackgroundLane) -> None:
        if self._ticket is None and self._work is not None:
            attempt = self._belief.attempt
            assert attempt is not None
            self._ticket = lane.submit(self._work, kind=attempt.step.value)

    def _drop_work(self) -> None:
        """Stop what is under way; its buffers are free afterwards."""
        if self._ticket is not None:
            self._ticket.cancel()
        self._ticket, self._work = None, None

    def _look_nearby(self, attempt: int) -> Work:
        """Registration of what has the object's colours around the last trusted pose."""
        frame = self._kept[-1]
        buffers = self._buffers_with(frame)
        odds = self._tracker.colour_log_odds()
        if odds is None or self._trusted is None:
            return Failed(attempt=attempt)
        mask = nearby_mask(buffers, odds, self._trusted, self.bundle.diameter_m, config=self._config.nearby)
        yield "mask"
        if mask is None:
            return Failed(attempt=attempt)
        try:
            found = yield from self._registrar.chunks(buffers, mask, near=self._trusted)
        except (MaskError, UnitError):  # a blob that cannot be the object is no error of the user's
            return Failed(attempt=attempt)
        self._found, self._scout_index = (frame, found.T_cam_centre), None
        return PoseFound(attempt=attempt, frame=frame.index, score=float(np.clip(found.visible, 0.0, 1.0)))

    def _search(self, attempt: int) -> Work:
        """Masks of the object in the whole image; without any, what stands out there is registered."""
        self._masks = None
        if self._finder is None:
            return Failed(attempt=attempt)
        frame = self._kept[-1]
        self._masks = yield from self._finder.segment(frame)
        return MaskFound(attempt=attempt, frame=frame.index)

    def _register_candidates(self, attempt: int) -> Work:
        """Registration of those masks, and the verdict which of them is the object, if any."""
        assert self._finder is not None
        assert self._masks is not None
        look, segmentation = self._masks
        brief = self._trusted is not None and self._belief.failure_count < self._config.brief_searches
        known = None
        if self._trusted is not None:
            known = Known(T_cam_centre=self._trusted, colour_log_odds=self._tracker.colour_log_odds())
        search = yield from self._finder.examine(
            look,
            segmentation,
            self._buffers_with(look.frame),
            known=known,
            effort=BRIEF if brief else THOROUGH,
        )
        found = search.found
        if found is None:
            return Failed(attempt=attempt)
        self._found, self._scout_index = (look.frame, found.T_cam_centre), None
        return PoseFound(attempt=attempt, frame=look.frame.index, score=found.verdict)

    def _go_forward(self, attempt: int) -> Work:
        """The scout follows the found pose over the kept frames to the newest."""
        if self._found is None:
            return Failed(attempt=attempt)
        # After a search longer than what is kept the first step is a large one; the judgement tells if too large.
        frame, T = self._found
        buffers = self._buffers_with(frame)
        if self._scout_index != frame.index:
            self._step = self._scout.start(buffers, T)
        count = 0
        while (ahead := next((kept for kept in tuple(self._kept) if kept.index > frame.index), None)) is not None:
            frame = ahead
            buffers = self._buffers_with(frame)
            self._step, self._step_stamp_ns = self._scout.update(buffers), frame.stamp_ns
            count += 1
            if count % self._config.frames_per_chunk == 0:
                yield "frames"
        assert self._step is not None
        self._found, self._scout_index = (frame, self._step.T_cam_centre), frame.index
        self._step_stamp_ns = frame.stamp_ns
        self._at_hand = (buffers, self._step.T_cam_centre)
        votes = self._verify(*self._at_hand)
        return PoseForwarded(
            attempt=attempt,
            frame=frame.index,
            score=self._step.confidence,
            network_score=None if votes is None or votes.faulty else votes.score,
            faulty=self._step.faulty or (votes is not None and votes.faulty),
        )

    def _buffers_with(self, frame: Frame) -> FrameBuffers:
        if self._locate_buffers is None or self._locate_buffers.size_px != frame.size_px:
            self._locate_buffers = FrameBuffers(*frame.size_px, self._device)
        self._locate_buffers.upload(frame)
        return self._locate_buffers

    def report(self, frame: Frame, spent_ms: dict[str, float]) -> Track:
        """What is known at this frame, after `advance` and `locate`."""
        step = self._step if self._belief.has_pose else None
        return Track(
            frame=frame.index,
            stamp_ns=frame.stamp_ns,
            object_id=self.bundle.object_id,
            state=self._belief.state,
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
            bad(
                f"object size at frame {frame.index}",
                f"a model of {diameter_m:.4g} m at {T_cam_obj[2, 3]:.4g} m, {span_px:.3g} px across",
                f"{_SMALLEST_PX:g} px to {_LARGEST_IMAGES:g} image widths",
                "onboard the model with the other --unit, or check the labels' unit (BOP has mm)",
            )
        )
