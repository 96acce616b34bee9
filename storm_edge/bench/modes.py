"""What each mode of `storm-edge bench` does with a frame.

Mode by mode: which sessions or detectors are made, which passes of frames are played, and what is counted besides the
times. `storm_edge.bench.runner` chooses the mode.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from storm_edge.bench.background_search import BackgroundSearch
from storm_edge.bench.checks import LossCounter
from storm_edge.bench.plan import BenchPlan
from storm_edge.bench.player import FramePlayer, Pass
from storm_edge.bench.recording import RecordedFrame, Recording
from storm_edge.choices import BenchMode
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import ConfigError, InputError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.kernels.host_threads import launching_on
from storm_edge.kernels.streams import LaneStreams, on_stream, synchronise
from storm_edge.live.factory import (
    SharedParts,
    make_object_session,
    make_object_sessions,
    make_segmenter,
    with_chunks,
)
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.thread_limit import usable_threads

SEARCH = "background search"
"""A whole search on the lane, from its submission to its result."""
ROUNDS = 3
"""Phases that are compared within a run are played in so many turns, so that a drift of the machine meets both."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every mode works with."""

    recording: Recording
    """What is played."""
    bundle: ObjectBundle
    """The object in it."""
    networks: NetworkBundle | None
    """The network bundle; None runs on geometry and colours alone."""
    plan: BenchPlan
    """What is timed."""
    streams: LaneStreams
    """Of the frames, and of background work."""
    player: FramePlayer
    """Plays the frames."""


@dataclass(frozen=True, kw_only=True)
class ModeResult:
    """What a mode found, without the times."""

    start: str
    """Where the first pose came from: label, mask, or search."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What happened how often: searches, losses."""
    tracker: Mapping[str, object] = field(default_factory=dict)
    """How the object was followed, as in `summary.json`; empty where it was not."""


def pass_count(mode: BenchMode) -> int:
    """Passes of a mode, each with a warm-up of its own."""
    return 2 * ROUNDS if mode is BenchMode.TRACK_WHILE_LOCATING else 1


def phase_count(mode: BenchMode) -> int:
    """Phases of a mode."""
    return 2 if mode is BenchMode.TRACK_WHILE_LOCATING else 1


def time_tracking(setup: Setup) -> ModeResult:
    """Mode track: follow the object."""
    item, session = _make_session(setup, lane=None)
    tracking = TrackingStep(item)
    setup.player.play(_whole_pass(setup, tracking, session))
    return ModeResult(start=tracking.start, tracker=session.tracker)


def time_recovery(setup: Setup) -> ModeResult:
    """Mode recover: follow the object, lose it and find it again."""
    losses = LossCounter()
    with ExitStack() as stack:
        lane = (
            stack.enter_context(BackgroundLane(setup.plan.config.lanes, stream=setup.streams.background))
            if setup.plan.background_search
            else None
        )
        item, session = _make_session(setup, lane)
        tracking = TrackingStep(item)
        phase = setup.player.play(_whole_pass(setup, tracking, session, losses))
    return ModeResult(start=tracking.start, counts=losses.report(phase), tracker=session.tracker)


def time_registration(setup: Setup) -> ModeResult:
    """Mode register: the pose from a mask, in every frame anew."""
    config = with_chunks(setup.plan.config, beside=False)
    with on_stream(setup.streams.track):
        on_device = ObjectOnDevice(setup.bundle, setup.plan.device, as_upstream=config.as_upstream)
        shared = SharedParts(options=_engine_options(setup))
        item = make_object_session(on_device, setup.networks, config=config, shared=shared)

    def step(recorded: RecordedFrame, frame: Frame, buffers: FrameBuffers) -> Track:
        if recorded.mask is None:
            raise InputError(mismatch(setup.recording.name, "a frame without a mask", "masks", "give mask_visib/"))
        return item.register(frame, buffers, recorded.mask)

    setup.player.play(Pass(phase=setup.plan.mode.value, frame_count=setup.plan.frame_count, step=step))
    return ModeResult(start="mask")


def time_search(setup: Setup) -> ModeResult:
    """Mode locate: search of the whole image and registration, in every frame anew."""
    detector = _make_detector(setup)

    def step(recorded: RecordedFrame, frame: Frame, buffers: FrameBuffers) -> Track:
        began = time.perf_counter()
        image, segmentation = run_to_completion(detector.segment(frame))
        segmented = time.perf_counter()
        with launching_on(usable_threads(setup.plan.config.search_threads)):
            found = run_to_completion(detector.register_candidates(image, segmentation, buffers)).found
        ended = time.perf_counter()
        return Track(
            frame=frame.index,
            stamp_ns=frame.stamp_ns,
            object_id=setup.bundle.object_id,
            state=TrackState.SEARCHING if found is None else TrackState.TRACKING,
            T_cam_obj=None if found is None else found.T_cam_centre @ invert(setup.bundle.T_obj_centre),
            latency_ms={"segment": (segmented - began) * 1e3, "register": (ended - segmented) * 1e3},
        )

    setup.player.play(Pass(phase=setup.plan.mode.value, frame_count=setup.plan.frame_count, step=step))
    return ModeResult(start="search")


def time_tracking_while_searching(setup: Setup) -> ModeResult:
    """Mode track-while-locating: passes alone, and passes with a background lane that is never idle, in turns."""
    detector = _make_detector(setup)
    item, session = _make_session(setup, lane=None)
    share, left = -(-setup.plan.frame_count // ROUNDS), setup.plan.frame_count
    counts: dict[str, int] = {}
    start = ""
    while left > 0:
        count = min(share, left)
        alone = TrackingStep(item)
        setup.player.play(Pass(phase="alone", frame_count=count, step=alone, group=session.group))
        with BackgroundLane(setup.plan.config.lanes, stream=setup.streams.background) as lane:
            search = BackgroundSearch(lane, detector, setup.recording.size_px, setup.plan.device)
            searching = Pass(
                phase="while locating",
                frame_count=count,
                step=TrackingStep(item),
                group=session.group,
                lane=lane,
                after=search.after,
            )
            phase = setup.player.play(searching)
            search.finish()
        for seconds in search.durations_s:
            phase.add(SEARCH, 1e3 * seconds)
        for what, number in search.counts().items():
            counts[what] = counts.get(what, 0) + number
        start = alone.start
        left -= count
    if counts["searches begun"] != counts["searches ended"]:
        got = f"{counts['searches ended']} of {counts['searches begun']} searches ended"
        raise InputError(mismatch("lane", got, "all", "give the lane a core of its own"))
    return ModeResult(start=start, counts=counts, tracker=session.tracker)


class TrackingStep:
    """Start where the scene says, then follow."""

    def __init__(self, item: ObjectSession) -> None:
        self.start = ""
        """Where the first pose came from; empty before the first frame."""
        self._item = item

    def __call__(self, recorded: RecordedFrame, frame: Frame, buffers: FrameBuffers) -> Track:
        """Track the object in a frame, or begin."""
        if self.start:
            return self._item.track(frame, buffers)
        if recorded.T_cam_obj is not None:
            self.start = "label"
            return self._item.start(frame, buffers, recorded.T_cam_obj)
        if recorded.mask is not None:
            self.start = "mask"
            return self._item.register(frame, buffers, recorded.mask)
        if self._item.detector is None:
            remedy = "give a scene with labels or masks, or a bundle with a segmenter"
            raise ConfigError(mismatch("start", "no label, no mask and no segmenter", "one of them", remedy))
        self.start = "search"
        return self._item.track(frame, buffers)


def _whole_pass(setup: Setup, step: TrackingStep, session: Session, losses: LossCounter | None = None) -> Pass:
    """All frames of a run in one pass."""
    made = Pass(phase=setup.plan.mode.value, frame_count=setup.plan.frame_count, step=step, group=session.group)
    return made if losses is None else replace(made, after=losses.add)


def _make_session(setup: Setup, lane: BackgroundLane | None) -> tuple[ObjectSession, Session]:
    """The object's session, and the session of all objects that holds it."""
    plan = setup.plan
    items = make_object_sessions([setup.bundle], setup.networks, config=plan.config, device=plan.device, lane=lane)
    return items[0], Session(items, config=plan.config, device=plan.device, lane=lane, stream=setup.streams.track)


def _engine_options(setup: Setup) -> EngineOptions:
    return EngineOptions(device=setup.plan.device, spinning=False, stream=setup.streams.track)


def _make_detector(setup: Setup) -> Detector:
    """A detector on the frames' stream, ready when this returns."""
    plan, networks = setup.plan, setup.networks
    with on_stream(setup.streams.track):
        options = _engine_options(setup)
        segmenter = make_segmenter(networks, config=plan.config.segment, device=plan.device, options=options)
        if segmenter is None:
            name = networks.name if networks is not None else "none"
            remedy = "use a bundle with som_reference, som_query and som_head"
            raise ConfigError(mismatch(f"mode {plan.mode.value}", f"bundle {name}", "one with a segmenter", remedy))
        config = with_chunks(plan.config, beside=plan.mode is BenchMode.TRACK_WHILE_LOCATING)
        on_device = ObjectOnDevice(setup.bundle, plan.device, as_upstream=config.as_upstream)
        detector = Detector(
            on_device,
            segmenter,
            networks=networks,
            config=config.detect,
            side=config.side,
            geometry=config.refine,
            options=options,
        )
    if setup.streams.track is not None:
        synchronise(plan.device)
    return detector
