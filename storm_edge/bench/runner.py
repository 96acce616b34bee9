"""Play a recording through the loop and take the time of every stage; what `storm-edge bench` does.

A run is one or two `Phase`s of frames. Of every frame the stages are timed one by one, and the whole way from the
call to the pose; where frames are paced the way begins at the frame's stamp, so that a frame that had to wait counts
as late as it was. What came out is checked against labels, masks or the loop's own state before a number leaves this
module: a fast wrong run is an error. Writing, drawing and comparing are `bench_report` and `bench_compare`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from storm_edge.bench.memory import Memory, device_memory_mib, peak_mib, resident_mib
from storm_edge.bench.recording import Recording, Shot
from storm_edge.choices import BenchMode
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import ConfigError, InputError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert, transform
from storm_edge.kernels.streams import on_stream, settle
from storm_edge.live.config import StormConfig
from storm_edge.live.executor import ObjectSession
from storm_edge.live.factory import make_object_sessions, make_segmenter, streams_of, with_chunks
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.detector import DetectionResult, Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.replay.pacing import Pacer

Float64 = NDArray[np.float64]
Progress = Callable[[int, int], None]

END_TO_END = "end to end"
"""From the call, or where frames are paced from the frame's stamp, to the pose."""
WAIT, UPLOAD, OTHER = "wait", "upload", "other"
FOUND_AGAIN = "lost to found"
"""From the first frame without a pose to the first trusted one: what hides the object counts, too."""
SEARCH = "search beside"
"""A whole search on the lane, from handing it in to its answer."""

_ROUNDS = 3
"""Pairs of phases that are compared within a run alternate, so that a drift of the machine meets both."""
_FOLLOWED = 0.95
"""Share of frames that must be believed; with fewer the times are of another work."""
_RIGHT = 0.9
"""Share of labelled frames whose pose must be right."""
_RIGHT_D = 0.1
"""A pose is right if its ADD-S is below this share of the diameter."""
_SEARCH_ENDS_S = 60.0
_BETWEEN_ROUNDS_NS = 33_000_000


FRAME_COUNTS = {
    BenchMode.TRACK: 1000,
    BenchMode.REGISTER: 20,
    BenchMode.LOCATE: 10,
    BenchMode.RECOVER: 1000,
    BenchMode.TRACK_WHILE_LOCATING: 1000,
}
"""Frames that are timed if nobody says how many."""
WARM_UP_COUNTS = {
    BenchMode.TRACK: 30,
    BenchMode.REGISTER: 1,
    BenchMode.LOCATE: 1,
    BenchMode.RECOVER: 30,
    BenchMode.TRACK_WHILE_LOCATING: 30,
}
"""Frames before them."""


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What is to be timed."""

    mode: BenchMode
    """Which work."""
    frame_count: int
    """Frames that are timed, in each phase."""
    warm_up_count: int
    """Frames before them; their times are reported apart."""
    rate_hz: float | None = None
    """Frame rate at which the recording is played [Hz]; None hands on the next frame at once."""
    device: str = "cpu"
    """``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``."""
    beside: bool = False
    """Whether searches of mode recover run on a lane beside the frames, not in between."""
    config: StormConfig = field(default_factory=StormConfig)
    """Schedules and thresholds."""

    def __post_init__(self) -> None:
        for option, value, least in (("--frames", self.frame_count, 2), ("--warm-up", self.warm_up_count, 0)):
            if value < least:
                raise ConfigError(mismatch(option, value, f"{least} or more", "time more frames"))


@dataclass(kw_only=True)
class Phase:
    """Times of one kind of frames, in the order they were taken."""

    name: str
    """What the loop had to do."""
    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    """By stage [ms]; a stage that did not run in a frame has no sample of it."""
    warm_up_ms: list[float] = field(default_factory=list)
    """End to end of the frames before [ms]."""
    late_count: int | None = None
    """Frames whose pose came after the next frame was due; None where nothing is paced."""
    skipped_count: int = 0
    """Frames that were passed over because newer ones were due."""
    states: dict[str, int] = field(default_factory=dict)
    """Frames by what was believed at them."""

    def add(self, stage: str, ms: float) -> None:
        """One more sample of a stage."""
        self.samples_ms.setdefault(stage, []).append(ms)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How the output was found to be right."""

    followed_share: float
    """Share of timed frames with a pose that is believed."""
    right_share: float | None
    """Share of believed, labelled frames whose ADD-S is below a tenth of the diameter; None without labels."""
    against: str
    """What that was judged by."""


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """All that was measured."""

    phases: tuple[Phase, ...]
    """One, or two that are to be compared."""
    memory: Memory
    """Of host and device."""
    checked: Checked
    """Why the numbers mean something."""
    counts: Mapping[str, int]
    """What happened how often: searches, losses."""
    start: str
    """Where the first pose came from: label, mask, or search."""
    tracker: Mapping[str, object]
    """How the object was followed, as in `summary.json`; empty where it was not."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What came out of a frame."""

    shot: Shot
    state: TrackState
    T_cam_obj: Float64 | None


Step = Callable[[Shot, Frame, FrameBuffers], Track]


def run_bench(
    recording: Recording,
    bundle: ObjectBundle,
    networks: NetworkBundle | None,
    plan: BenchPlan,
    *,
    progress: Progress | None = None,
) -> BenchRun:
    """Do what ``plan`` says.

    Args:
        recording: What is played.
        bundle: The object in it.
        networks: The network bundle; None runs on geometry and colours alone.
        plan: What is timed.
        progress: Called with frames done and frames in all.

    Raises:
        InputError: What came out is wrong, so that its times mean nothing; or the recording does not have what the
            mode needs.
        ConfigError: The bundle cannot search and the mode needs it.
        StormEdgeError: As the loop.
    """
    bench = _Bench(recording, bundle, networks, plan, progress)
    if plan.mode is BenchMode.REGISTER:
        bench.register()
    elif plan.mode is BenchMode.LOCATE:
        bench.locate()
    elif plan.mode is BenchMode.TRACK_WHILE_LOCATING:
        bench.track_while_locating()
    else:
        bench.follow()
    return bench.ended()


class _Bench:
    """One run under way."""

    def __init__(
        self,
        recording: Recording,
        bundle: ObjectBundle,
        networks: NetworkBundle | None,
        plan: BenchPlan,
        progress: Progress | None,
    ) -> None:
        self.recording, self.bundle, self.networks, self.plan = recording, bundle, networks, plan
        self.phases: dict[str, Phase] = {}
        self.counts: dict[str, int] = {}
        self.start = ""
        self._followed: Session | None = None
        self._seen: list[_Seen] = []
        self._host_begin_mib: float | None = None
        self._lost_s: float | None = None
        self._next = self._next_ns = 0
        self._had_pose = False
        self._progress = progress
        self._streams = streams_of(plan.device, networks)
        rounds = 2 * _ROUNDS if plan.mode is BenchMode.TRACK_WHILE_LOCATING else 1
        phases = 2 if plan.mode is BenchMode.TRACK_WHILE_LOCATING else 1
        self._total = phases * plan.frame_count + rounds * plan.warm_up_count
        self._done = 0

    def follow(self) -> None:
        """Modes track and recover."""
        with ExitStack() as stack:
            beside = self.plan.mode is BenchMode.RECOVER and self.plan.beside
            lane = stack.enter_context(BackgroundLane(stream=self._streams.beside)) if beside else None
            (loop,) = self._loops(lane)
            self._play(self.plan.mode.value, _Follower(self, loop), self.plan.frame_count)
        if self.plan.mode is BenchMode.RECOVER:
            self._count_losses(self.phases[self.plan.mode.value])

    def register(self) -> None:
        """Mode register."""
        (loop,) = self._loops(None, search=False)
        self.start = "mask"

        def step(shot: Shot, frame: Frame, buffers: FrameBuffers) -> Track:
            if shot.mask is None:
                raise InputError(mismatch(self.recording.name, "a frame without a mask", "masks", "give mask_visib/"))
            return loop.register(frame, buffers, shot.mask)

        self._play(self.plan.mode.value, step, self.plan.frame_count)

    def locate(self) -> None:
        """Mode locate."""
        detector = self._detector()
        self.start = "search"

        def step(shot: Shot, frame: Frame, buffers: FrameBuffers) -> Track:
            began = time.perf_counter()
            image, segmentation = run_to_completion(detector.segment(frame))
            segmented = time.perf_counter()
            found = run_to_completion(detector.register_candidates(image, segmentation, buffers)).found
            ended = time.perf_counter()
            T = None if found is None else found.T_cam_centre @ invert(self.bundle.T_obj_centre)
            return Track(
                frame=frame.index,
                stamp_ns=frame.stamp_ns,
                object_id=self.bundle.object_id,
                state=TrackState.SEARCHING if found is None else TrackState.TRACKING,
                T_cam_obj=T,
                latency_ms={"segment": (segmented - began) * 1e3, "examine": (ended - segmented) * 1e3},
            )

        self._play(self.plan.mode.value, step, self.plan.frame_count)

    def track_while_locating(self) -> None:
        """Mode track-while-locating: rounds alone and rounds beside a lane that is never idle, in turns."""
        detector = self._detector()
        share = -(-self.plan.frame_count // _ROUNDS)
        left = self.plan.frame_count
        (loop,) = self._loops(None)
        while left > 0:
            count = min(share, left)
            self._play("alone", _Follower(self, loop), count)
            with BackgroundLane(stream=self._streams.beside) as lane:
                seeker = _Seeker(lane, detector, self.recording.size_px, self.plan.device)
                self._play("while locating", _Follower(self, loop), count, after=seeker.go_on, lane=lane)
                seeker.finish()
            for seconds in seeker.spent_s:
                self.phases["while locating"].add(SEARCH, 1e3 * seconds)
            for what, number in seeker.counts().items():
                self.counts[what] = self.counts.get(what, 0) + number
            left -= count
        if self.counts["searches begun"] != self.counts["searches ended"]:
            got = f"{self.counts['searches ended']} of {self.counts['searches begun']} searches ended"
            raise InputError(mismatch("lane", got, "all", "give the lane a core of its own"))

    def ended(self) -> BenchRun:
        """The run, if what came out is right."""
        used_mib, total_mib = device_memory_mib(self.plan.device)
        end_mib = resident_mib()
        memory = Memory(
            host_begin_mib=self._host_begin_mib,
            host_end_mib=end_mib,
            # The kernel brings its highest mark up to date late, so it may be below what is there now.
            host_peak_mib=max((mib for mib in (peak_mib(), end_mib) if mib is not None), default=None),
            device_used_mib=used_mib,
            device_total_mib=total_mib,
        )
        return BenchRun(
            phases=tuple(self.phases.values()),
            memory=memory,
            checked=self._check(),
            counts=self.counts,
            start=self.start,
            tracker={} if self._followed is None else self._followed.tracker,
        )

    def _loops(self, lane: BackgroundLane | None, *, search: bool = True) -> list[ObjectSession]:
        plan = self.plan
        if search:
            loops = make_object_sessions(
                [self.bundle], self.networks, config=plan.config, device=plan.device, lane=lane
            )
            self._followed = Session(loops, device=plan.device, lane=lane, stream=self._streams.track)
            return loops
        config = with_chunks(plan.config, beside=False)
        with on_stream(self._streams.track):
            item = ObjectOnDevice(self.bundle, plan.device)
            return [ObjectSession(item, self.networks, config=config, options=self._engine_options())]

    def _engine_options(self) -> EngineOptions:
        return EngineOptions(device=self.plan.device, spinning=False, stream=self._streams.track)

    def _detector(self) -> Detector:
        with on_stream(self._streams.track):
            detector = self._made_detector(self._engine_options())
        if self._streams.track is not None:
            settle(self.plan.device)
        return detector

    def _made_detector(self, options: EngineOptions) -> Detector:
        segmenter = make_segmenter(
            self.networks, config=self.plan.config.segment, device=self.plan.device, options=options
        )
        if segmenter is None:
            name = self.networks.name if self.networks is not None else "none"
            remedy = "use a bundle with som_reference, som_query and som_head"
            raise ConfigError(
                mismatch(f"mode {self.plan.mode.value}", f"bundle {name}", "one with a segmenter", remedy)
            )
        config = with_chunks(self.plan.config, beside=self.plan.mode is BenchMode.TRACK_WHILE_LOCATING)
        return Detector(
            ObjectOnDevice(self.bundle, self.plan.device),
            segmenter,
            networks=self.networks,
            config=config.detect,
            options=options,
        )

    def _play(
        self,
        name: str,
        step: Step,
        count: int,
        *,
        after: Callable[[Frame], None] = lambda frame: None,
        lane: BackgroundLane | None = None,
    ) -> None:
        """Play ``count`` frames after the warm-up, and keep what they took under ``name``.

        A ``lane`` is told when frames come and when they are tracked, so that it stays out of the way.
        """
        plan = self.plan
        phase = self.phases.setdefault(name, Phase(name=name))
        if plan.rate_hz is not None:
            phase.late_count = phase.late_count or 0
        group = None if self._followed is None else self._followed.group
        buffers = FrameBuffers(*self.recording.size_px, plan.device)
        pacer = Pacer(plan.rate_hz)
        first, first_ns = self._next, self._next_ns  # a loop that is used again must not see time run backwards
        for played in range(plan.warm_up_count + count):
            due = pacer.next()
            number, stamp_ns = first + due.number, first_ns + due.stamp_ns
            self._next, self._next_ns = number + 1, stamp_ns + _BETWEEN_ROUNDS_NS
            shot = self.recording.at(number)
            frame = replace(shot.frame, index=number, stamp_ns=stamp_ns)
            began = time.perf_counter()
            if lane is not None:
                rest_s = None if plan.rate_hz is None else due.stamp_s + 1.0 / plan.rate_hz - time.perf_counter()
                lane.arrive(number, next_due_s=None if rest_s is None else time.monotonic() + rest_s)
            tracking = nullcontext() if lane is None else lane.tracking()
            with tracking, on_stream(self._streams.track):
                if group is None:
                    buffers.upload(frame)
                else:
                    buffers = group.show(frame, is_read=played == 0)  # where the track begins
                uploaded = time.perf_counter()
                track = step(shot, frame, buffers)
                ended = time.perf_counter()
            whole_ms = 1e3 * (ended - (began if plan.rate_hz is None else due.stamp_s))
            if played >= plan.warm_up_count:
                stages = {UPLOAD: 1e3 * (uploaded - began), **track.stages_ms}
                if plan.rate_hz is not None:
                    stages = {WAIT: 1e3 * (began - due.stamp_s), **stages}
                    phase.late_count = (phase.late_count or 0) + (whole_ms > 1e3 / plan.rate_hz)
                    phase.skipped_count += due.skipped
                for stage, ms in stages.items():
                    phase.add(stage, ms)
                phase.add(OTHER, whole_ms - sum(stages.values()))
                phase.add(END_TO_END, whole_ms)
                phase.states[track.state.value] = phase.states.get(track.state.value, 0) + 1
                self._seen.append(_Seen(shot=shot, state=track.state, T_cam_obj=track.T_cam_obj))
                if self._host_begin_mib is None:
                    self._host_begin_mib = resident_mib()
                if plan.mode is BenchMode.RECOVER:
                    self._note_loss(phase, track, ended)
            else:
                phase.warm_up_ms.append(whole_ms)
            after(frame)
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)

    def _note_loss(self, phase: Phase, track: Track, now_s: float) -> None:
        if track.T_cam_obj is None and self._lost_s is None and self._had_pose:
            self._lost_s = now_s
            self.counts["losses"] = self.counts.get("losses", 0) + 1
        elif track.state is TrackState.TRACKING and self._lost_s is not None:
            phase.add(FOUND_AGAIN, 1e3 * (now_s - self._lost_s))
            self._lost_s = None
        self._had_pose = self._had_pose or track.T_cam_obj is not None

    def _count_losses(self, phase: Phase) -> None:
        self.counts["found again"] = len(phase.samples_ms.get(FOUND_AGAIN, ()))
        self.counts.setdefault("losses", 0)
        if not self.counts["found again"]:
            got = f"{self.counts['losses']} losses and none recovered from in {self.plan.frame_count} frames"
            remedy = "give a recording in which the object is hidden for a while, or more --frames"
            raise InputError(
                mismatch(f"mode {BenchMode.RECOVER.value}", got, "at least one loss and recovery", remedy)
            )

    def _check(self) -> Checked:
        """Whether the object was followed, and where it is known, whether to the right place.

        Raises:
            InputError: It was not.
        """
        believed = [seen for seen in self._seen if seen.state is TrackState.TRACKING]
        followed = len(believed) / len(self._seen)
        remedy = "these times would mean nothing; check the object, the recording and the bundle"
        what = f"bench {self.plan.mode.value}"
        if self.plan.mode is not BenchMode.RECOVER and followed < _FOLLOWED:
            got = f"the object followed in {followed:.0%} of {len(self._seen)} frames"
            raise InputError(mismatch(what, got, f"at least {_FOLLOWED:.0%}", remedy))
        right = _right_share(self.bundle, believed)
        if right is not None and right < _RIGHT:
            got = f"{right:.0%} of the poses within {_RIGHT_D:g} d of their labels"
            raise InputError(mismatch(what, got, f"at least {_RIGHT:.0%}", remedy))
        against = "the loop's own state" if right is None else f"labels, ADD-S below {_RIGHT_D:g} d"
        return Checked(followed_share=followed, right_share=right, against=against)


class _Follower:
    """The step of modes that track: start where the scene says, then follow."""

    def __init__(self, bench: _Bench, loop: ObjectSession) -> None:
        self._bench, self._loop = bench, loop
        self._started = False

    def __call__(self, shot: Shot, frame: Frame, buffers: FrameBuffers) -> Track:
        if self._started:
            return self._loop.track(frame, buffers)
        self._started = True
        if shot.T_cam_obj is not None:
            self._bench.start = "label"
            return self._loop.start(frame, buffers, shot.T_cam_obj)
        if shot.mask is not None:
            self._bench.start = "mask"
            return self._loop.register(frame, buffers, shot.mask)
        if not self._loop.searches:
            remedy = "give a scene with labels or masks, or a bundle with a segmenter"
            raise ConfigError(mismatch("start", "no label, no mask and no detector", "one of them", remedy))
        self._bench.start = "search"
        return self._loop.track(frame, buffers)


class _Seeker:
    """Keeps the lane busy: as soon as one search has ended the next begins, on the newest frame."""

    def __init__(self, lane: BackgroundLane, detector: Detector, size_px: tuple[int, int], device: str) -> None:
        self._lane, self._detector = lane, detector
        self._buffers = FrameBuffers(*size_px, device)
        self._future: LaneFuture[DetectionResult] | None = None
        self._began_s = 0.0
        self._begun = self._found = 0
        self.spent_s: list[float] = []
        """Of the searches that ended; as seen at the end of a frame, so up to one frame too long."""

    def go_on(self, frame: Frame) -> None:
        """Called after each frame."""
        if self._future is not None and not self._future.done():
            return
        self._hear()
        self._begun += 1
        self._began_s = time.perf_counter()
        self._future = self._lane.submit(self._work(frame), kind="search")

    def finish(self) -> None:
        """Wait for the search under way."""
        give_up_s = time.perf_counter() + _SEARCH_ENDS_S
        while self._future is not None and not self._future.done() and time.perf_counter() < give_up_s:
            time.sleep(0.001)
        self._hear()

    def counts(self) -> dict[str, int]:
        """Searches begun, ended, and those of them that found the object."""
        return {
            "searches begun": self._begun,
            "searches ended": len(self.spent_s),
            "searches that found it": self._found,
        }

    def _hear(self) -> None:
        if self._future is None or not self._future.done():
            return
        answer = self._future.result()
        self._future = None
        self.spent_s.append(time.perf_counter() - self._began_s)
        self._found += answer is not None and answer.found is not None

    def _work(self, frame: Frame) -> Generator[str, None, DetectionResult]:
        self._buffers.upload(frame)
        yield "upload"
        return (yield from self._detector.chunks(frame, self._buffers))


def _right_share(bundle: ObjectBundle, believed: list[_Seen]) -> float | None:
    """Share of labelled frames whose ADD-S is below `_RIGHT_D` diameters; None without any."""
    points = transform(bundle.T_obj_centre, np.unique(bundle.mesh_lod.vertices.astype(np.float64), axis=0))
    tree = cKDTree(points)
    errors_m = [
        float(np.mean(tree.query(transform(invert(seen.T_cam_obj) @ seen.shot.T_cam_obj, points))[0]))
        for seen in believed
        if seen.T_cam_obj is not None and seen.shot.T_cam_obj is not None
    ]
    if not errors_m:
        return None
    return float(np.mean(np.array(errors_m) < _RIGHT_D * bundle.diameter_m))
