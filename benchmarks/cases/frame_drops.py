"""Is any frame dropped while searches and registrations run? On a CPU.

    python -m benchmarks run frame_drops SETS [--frames 2000] [--rate HZ] [--bundle nano]

A synthetic recording (made where it is missing) is played forwards and backwards as a camera would: frames come when
they are due, the newest wins. The rate is the highest of 10, 15 and 30 Hz at which tracking alone takes at most 60 %
of the period on average, measured first with nothing else running. Then runs alternate, three each, ``--frames`` of
each kind in all: alone, and with the lane of `storm_edge.live.lanes.background` never idle: an object that is in no
frame is searched for in the whole image, then registered on the tracked object's mask, then searched for again.

Reported: frames dropped, the time of a tracked frame (`Session.step`: upload to pose) and from the frame's stamp to
the pose, searches and registrations begun and ended, resident memory along the run. A frame whose pose is wrong by a
tenth of the diameter fails the benchmark.

Loop overhead is measured apart, on frames without a pace: the time of a step less what passes in Warp launches and in
engines. What is left is split in two: the runtime (gate, lane, state machine, reports) and perception's own work on
the host (NumPy between launches, copies, the upload). A Warp launch counts with the packing of its arguments, which
cannot be told from the kernel from outside; what the clocks cost is in the figures and said beside them. Both are
given by the wall and in processor time of the thread, which a busy machine does not stretch as much.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import typer
import warp as wp
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.call_clock import CallClock, cost_of_a_clock_ms, timed
from benchmarks.recordings import onboarded, recovery_scene
from benchmarks.registry import Outcome, SetOptions, case
from storm_edge.bench.memory import resident_mib
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.frame import Frame
from storm_edge.live import engine_recovery
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_sessions, make_segmenter, with_chunks
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.replay.pacing import Pacer, ping_pong_index

RUNS = 3
RATES_HZ = (30.0, 15.0, 10.0)
SHARE = 0.6
"""Of the period that tracking alone may take."""
CLEAR = 28
"""Frames of the recording that are played: before anything hides the object."""
WARM_UP = 60
MEASURED = 300
"""Frames without a pace, for the rate and for the overhead."""
TIMEOUT_S = 120.0
WRONG_D = 0.1
OUTSIDE, RUNTIME = "outside_kernels_and_networks", "of_it_the_runtime"


@dataclass
class Measured:
    """What was measured in runs of one kind."""

    track_ms: list[float] = field(default_factory=list)
    from_stamp_ms: list[float] = field(default_factory=list)
    dropped: int = 0
    late: int = 0
    followed: int = 0
    frames: int = 0
    resident_mib: list[float] = field(default_factory=list)
    begun: dict[str, int] = field(default_factory=lambda: {"searches": 0, "registrations": 0})
    ended: dict[str, int] = field(default_factory=lambda: {"searches": 0, "registrations": 0})
    spent_s: dict[str, list[float]] = field(default_factory=lambda: {"searches": [], "registrations": []})

    def report(self) -> dict[str, Any]:
        """As the record has it."""
        memory = {
            "first_mib": self.resident_mib[0],
            "last_mib": self.resident_mib[-1],
            "most_mib": max(self.resident_mib),
        }
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "late": self.late,
            "followed": self.followed,
            "track_ms": percentiles(self.track_ms),
            "from_stamp_ms": percentiles(self.from_stamp_ms),
            "begun": self.begun,
            "ended": self.ended,
            "spent_s_p50": {kind: round(float(np.median(v)), 3) for kind, v in self.spent_s.items() if v},
            "resident": memory,
        }


class Camera:
    """The clear frames of a recording, forwards and backwards for ever, and where the object is in them."""

    def __init__(self, scene: BopScene) -> None:
        ids = scene.frame_ids[:CLEAR]
        self._frames = [scene.frame(i) for i in ids]
        self._poses = [scene.ground_truth(i)[0].T_cam_obj for i in ids]
        self._masks = [scene.mask_visib(i) for i in ids]
        self.next = 0  # numbers and stamps go on over all runs, as a camera's do
        self._next_ns = 0

    def frame(self, number: int, stamp_ns: int) -> Frame:
        """The picture of a number, with that number and stamp."""
        still = self._frames[ping_pong_index(number, CLEAR)]
        self.next, self._next_ns = number + 1, stamp_ns
        return Frame(rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=number, stamp_ns=stamp_ns)

    def pose(self, number: int) -> NDArray[np.float64]:
        """Where the object is in it, ``T_cam_obj``."""
        return self._poses[ping_pong_index(number, CLEAR)]

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Its visible part."""
        return self._masks[ping_pong_index(number, CLEAR)]

    @property
    def stamp_from_ns(self) -> int:
        """Where the stamps of the next run begin."""
        return self._next_ns + 33_000_000


class BackgroundWork:
    """Keeps the lane at work: a search of the newest frame, a registration in it, a search, and so on."""

    def __init__(
        self, lane: BackgroundLane, detector: Detector, registrar: Registrar, size_px: tuple[int, int]
    ) -> None:
        self._lane, self._detector, self._registrar = lane, detector, registrar
        self._buffers = FrameBuffers(*size_px)
        self._future: LaneFuture[Any] | None = None
        self._kind, self._began_s = "registrations", 0.0

    def after_frame(self, run: Measured, frame: Frame, mask: NDArray[np.bool_]) -> None:
        """After each frame."""
        if self._future is not None and not self._future.done():
            return
        self._take_result(run)
        self._kind = "searches" if self._kind == "registrations" else "registrations"
        run.begun[self._kind] += 1
        self._began_s = time.perf_counter()
        self._future = self._lane.submit(self._work(self._kind, frame, mask), kind=self._kind)

    def finish(self, run: Measured) -> None:
        """Wait for what is under way."""
        give_up_s = time.perf_counter() + TIMEOUT_S
        while self._future is not None and not self._future.done() and time.perf_counter() < give_up_s:
            time.sleep(0.001)
        self._take_result(run)

    def _take_result(self, run: Measured) -> None:
        if self._future is None or not self._future.done():
            return
        self._future.result()  # raises what the work raised
        self._future = None
        run.ended[self._kind] += 1
        run.spent_s[self._kind].append(time.perf_counter() - self._began_s)

    def _work(self, kind: str, frame: Frame, mask: NDArray[np.bool_]) -> Generator[str, None, object]:
        self._buffers.upload(frame)
        yield "upload"
        if kind == "searches":
            return (yield from self._detector.chunks(frame, self._buffers))
        return (yield from self._registrar.chunks(self._buffers, mask))


class Bench:
    """The object that is followed, and what is looked for beside it."""

    def __init__(self, scene: BopScene, others: BopScene, networks: NetworkBundle, lane: BackgroundLane) -> None:
        self.bundle, absent = onboarded(scene.path), onboarded(others.path)
        self.camera = Camera(scene)
        self.lane = lane
        (self.item,) = make_object_sessions([self.bundle], networks, lane=lane)
        self.loop = Session([self.item], lane=lane)
        self._background = self._make_background_work(absent, networks)
        self._start_again = True

    def _make_background_work(self, absent: ObjectBundle, networks: NetworkBundle) -> BackgroundWork:
        options = EngineOptions(spinning=False)
        segmenter = make_segmenter(networks, options=options)
        assert segmenter is not None
        config = with_chunks(StormConfig(), beside=True)
        item = ObjectOnDevice(absent)
        detector = Detector(item, segmenter, networks=networks, config=config.detect, options=options)
        registrar = Registrar(item, networks, config=config.register, options=options)
        return BackgroundWork(self.lane, detector, registrar, self.camera.frame(0, 0).size_px)

    def unpaced(self, count: int) -> list[float]:
        """Times of steps one after the other [ms], at 30 Hz by their stamps."""
        times = []
        first, since_ns = self.camera.next, self.camera.stamp_from_ns
        self._start_again = True
        for i in range(count):
            frame = self.camera.frame(first + i, since_ns + round(1e9 * i / 30.0))
            began = time.perf_counter()
            self._step(frame, None)
            times.append(1e3 * (time.perf_counter() - began))
        return times

    def paced(self, run: Measured, count: int, rate_hz: float, *, busy: bool, tell: Callable[[int], None]) -> None:
        """One run; its first `WARM_UP` frames are not counted."""
        pacer = Pacer(rate_hz)
        first, since_ns = self.camera.next, self.camera.stamp_from_ns
        self._start_again = True
        skipped_before = 0
        done = 0
        while done < count + WARM_UP:
            due = pacer.next()
            counts = done >= WARM_UP
            frame = self.camera.frame(first + due.number, since_ns + due.stamp_ns)
            began = time.perf_counter()
            track = self._step(frame, time.monotonic() + due.stamp_s + 1.0 / rate_hz - pacer.now_s())
            ended = time.perf_counter()
            if busy:
                self._background.after_frame(run, frame, self.camera.mask(frame.index))
            if counts:
                run.track_ms.append(1e3 * (ended - began))
                run.from_stamp_ms.append(1e3 * (ended - due.stamp_s))
                run.late += ended - due.stamp_s > 1.0 / rate_hz
                run.followed += track.state is TrackState.TRACKING
                run.frames += 1
                self._check(track)
                if done % 100 == 0 and (mib := resident_mib()) is not None:
                    run.resident_mib.append(mib)
            else:
                skipped_before = pacer.skipped
            done += 1
            tell(done)
        run.dropped += pacer.skipped - skipped_before
        if (mib := resident_mib()) is not None:
            run.resident_mib.append(mib)
        if busy:
            self._background.finish(run)

    def _step(self, frame: Frame, next_due_s: float | None) -> Track:
        def initialize(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
            if not self._start_again:
                return None
            self._start_again = False
            return item.start(frame, buffers, self.camera.pose(frame.index))

        result = self.loop.step(frame, initialize=initialize, next_due_s=next_due_s)
        assert not result.is_skipped, "the gate refused a frame of a camera in order"
        return result.tracks[0]

    def _check(self, track: Track) -> None:
        assert track.T_cam_obj is not None, f"frame {track.frame} has no pose; this measures nothing"
        gap_m = np.linalg.norm(track.T_cam_obj[:3, 3] - self.camera.pose(track.frame)[:3, 3])
        assert gap_m < WRONG_D * self.bundle.diameter_m, f"frame {track.frame} is wrong by {1e3 * gap_m:.1f} mm"


def overhead(bench: Bench, count: int) -> dict[str, Any]:
    """Per frame, outside kernels and networks [ms]; see the module."""
    kernels, perception = CallClock(), CallClock()
    engine = engine_recovery._ReopenableEngine
    places = [(wp, "launch"), (wp.Launch, "launch"), (engine, "launch"), (engine, "run")]
    tracker, verifier = bench.item._tracker, bench.item._verification._verifier
    work: list[tuple[Any, str]] = [(type(tracker), "update"), (FrameBuffers, "upload")]
    if verifier is not None:
        work += [(type(verifier), "verify"), (type(verifier), "remember")]
    bench.unpaced(WARM_UP)
    samples: dict[str, dict[str, list[float]]] = {
        clock: {"step": [], OUTSIDE: [], RUNTIME: []} for clock in ("wall", "thread")
    }
    calls: list[float] = []
    with timed(kernels, *places), timed(perception, *work):
        first, since_ns = bench.camera.next, bench.camera.stamp_from_ns
        for i in range(count):
            frame = bench.camera.frame(first + i, since_ns + round(1e9 * i / 30.0))
            kernels.reset()
            perception.reset()
            thread_s, wall_s = time.thread_time(), time.perf_counter()
            bench._step(frame, None)
            wall_s, thread_s = time.perf_counter() - wall_s, time.thread_time() - thread_s
            for clock, spent_s, kernels_s, perception_s in (
                ("wall", wall_s, kernels.wall_s, perception.wall_s),
                ("thread", thread_s, kernels.thread_s, perception.thread_s),
            ):
                samples[clock]["step"].append(1e3 * spent_s)
                samples[clock][OUTSIDE].append(1e3 * (spent_s - kernels_s))
                samples[clock][RUNTIME].append(1e3 * (spent_s - perception_s))
            calls.append(kernels.calls)
    return {
        "frames": count,
        "launches_p50": float(np.median(calls)),
        "of_it_the_clocks_ms": round(float(np.median(calls)) * cost_of_a_clock_ms(), 3),
    } | {
        clock: {name: mean_and_percentiles(values) for name, values in by_name.items()}
        for clock, by_name in samples.items()
    }


def mean_and_percentiles(values_ms: list[float]) -> dict[str, float]:
    """The mean is what the rate is chosen by."""
    return {"mean": round(float(np.mean(values_ms)), 3)} | percentiles(values_ms)


def highest_rate(mean_ms: float) -> float:
    """The highest of the rates at which tracking leaves enough of the period; the lowest if none does."""
    return next((rate for rate in RATES_HZ if mean_ms <= SHARE * 1e3 / rate), RATES_HZ[-1])


@dataclass(frozen=True, kw_only=True)
class DropOptions(SetOptions):
    """How much is played, and how fast."""

    frames: Annotated[int, typer.Option(help="Per kind, over all runs.")] = 2000
    rate: Annotated[float | None, typer.Option(help="Frame rate [Hz]; chosen if not given.")] = None


@case(record="claim", timing=True)
def frame_drops(options: DropOptions) -> Outcome:
    """Play a recording at a camera's rate, alone and beside searches and registrations."""
    scene, others = (BopScene(recovery_scene(options.sets, number)) for number in (0, 1))
    measured = min(MEASURED, options.frames)
    runs = {False: Measured(), True: Measured()}

    def tell(n: int) -> None:
        status.update(f"{done + n} of {total} frames")

    with BackgroundLane() as lane:
        bench = Bench(scene, others, NetworkBundle.load(options.bundle), lane)
        bench.unpaced(WARM_UP)
        alone = mean_and_percentiles(bench.unpaced(measured))
        rate_hz = options.rate or highest_rate(alone["mean"])
        apart = overhead(bench, measured)
        gc.collect()
        total, done = 2 * RUNS * WARM_UP + 2 * options.frames, 0
        left = options.frames
        with Console().status("") as status:
            for turn in range(RUNS, 0, -1):
                count = left // turn
                left -= count
                for busy in (False, True):
                    bench.paced(runs[busy], count, rate_hz, busy=busy, tell=tell)
                    done += count + WARM_UP
        loop_faults = bench.loop.faults
    ratio = runs[True].report()["track_ms"]["p99"] / runs[False].report()["track_ms"]["p99"]
    print_runs(runs)
    print(f"{rate_hz:g} Hz: tracking alone takes {alone['mean']:.1f} ms of {1e3 / rate_hz:.1f} ms on average")
    print(f"p99 during is {ratio:.2f} times p99 alone")
    for clock in ("wall", "thread"):
        left_ms, runtime_ms = (apart[clock][name]["p50"] for name in (OUTSIDE, RUNTIME))
        print(f"outside kernels and networks {left_ms:.2f} ms a frame, the runtime {runtime_ms:.2f} ({clock})")
    unfinished = {kind: runs[True].begun[kind] - runs[True].ended[kind] for kind in runs[True].begun}
    summary = {
        "rate_hz": rate_hz,
        "unpaced": alone,
        "alone": runs[False].report(),
        "during": runs[True].report(),
        "p99_ratio": round(ratio, 3),
        "unfinished": unfinished,
        "overhead": apart,
        "faults": loop_faults,
    }
    return Outcome(summary=summary)


def print_runs(runs: dict[bool, Measured]) -> None:
    """A row per kind of run, alone and beside background work."""
    table = Table("", "p50 [ms]", "p90", "p99", "max", "dropped", "late", "searches", "registrations", "MiB")
    for busy, run in runs.items():
        told = run.report()
        ended = [f"{run.ended[kind]} of {run.begun[kind]}" if busy else "" for kind in ("searches", "registrations")]
        times = [f"{told['track_ms'][key]:.1f}" for key in ("p50", "p90", "p99", "max")]
        memory = f"{told['resident']['first_mib']:.0f} to {told['resident']['last_mib']:.0f}"
        table.add_row("during" if busy else "alone", *times, str(run.dropped), str(run.late), *ended, memory)
    Console().print(table)
