"""How long a step of the batched tracker takes, and how much of it is the host's.

    python -m benchmarks run batched_tracker [--device cuda] [--bundle nano] [--frames 60] [--objects 1 --objects 2]

The hand-held mug of `latency`, held in memory, followed forwards and backwards by ``pipeline.track.batched``,
once per object count, number of RefineNet iterations and kind of launches (a CUDA graph, or one by one). Timed is a
whole step, from a decoded frame to the poses: by the wall, and the process's CPU time. Poses are checked against the
truth before a number is printed. ``host`` is the CPU time of the calling thread that is neither kernel, nor network,
nor waiting for them: Python, argument packing, and copying the frame into the staging buffer. For comparison, the
step of `pipeline.track.stepwise` with one object.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import warp as wp
from rich.console import Console
from rich.table import Table

from benchmarks.call_clock import CallClock, timed
from benchmarks.cases.latency import make_script, onboarded
from benchmarks.registry import NetworkOptions, Outcome, case
from benchmarks.timing import RANKS, spread
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.kernels.device import require_device
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.batched import BatchedTracker
from storm_edge.pipeline.track.config import BatchedTrackConfig
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from storm_edge.synthetic.scene_renderer import LabelledFrame, SceneRenderer

_WARM_UP = 5


@contextmanager
def timed_outside_the_host(clock: CallClock, engine: Any) -> Iterator[None]:
    """Time what runs kernels on a CPU (Warp's own, there is no public name), the engine, and waiting for CUDA."""
    context = wp.launch.__globals__
    kept = {name: context[name] for name in ("invoke", "invoke_cpu_blocks") if name in context}
    places: list[tuple[Any, str]] = [(wp, "synchronize_stream")]
    if engine is not None:
        places.append((engine, "launch"))
    context.update({name: clock.timed(function) for name, function in kept.items()})
    try:
        with timed(clock, *places):
            yield
    finally:
        context.update(kept)


@dataclass
class Samples:
    """Times of the steps [ms]."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)

    @contextmanager
    def one(self, outside: CallClock | None = None) -> Iterator[None]:
        """Time what happens inside."""
        wall, cpu, thread = time.perf_counter(), time.process_time(), time.thread_time()
        yield
        if outside is not None:
            self.host.append(1e3 * (time.thread_time() - thread - outside.thread_s))
        self.cpu.append(1e3 * (time.process_time() - cpu))
        self.wall.append(1e3 * (time.perf_counter() - wall))

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Of each kind, the first few steps left out."""
        kinds = {"wall_ms": self.wall, "cpu_ms": self.cpu, "host_ms": self.host}
        return {kind: spread(times[_WARM_UP:]) for kind, times in kinds.items() if times}


def forwards_and_backwards(frames: list[LabelledFrame]) -> list[LabelledFrame]:
    return frames[1:] + frames[-2::-1]


def check(errors_m: list[float], diameter_m: float) -> None:
    right = float(np.mean(np.array(errors_m) < 0.1 * diameter_m))
    if right < 0.95:
        raise SystemExit(f"only {right:.1%} of the poses are within 0.1 d; these times mean nothing")


def run(
    bundle: ObjectBundle,
    frames: list[LabelledFrame],
    networks: NetworkBundle | None,
    *,
    objects: int,
    config: BatchedTrackConfig,
    device: str,
    options: EngineOptions,
) -> tuple[str, Samples]:
    """How it was launched, and its times."""
    engine: Any = networks.open("refine", options) if networks is not None else None
    tracks = BatchedTracker(
        [ObjectOnDevice(bundle, device)] * objects,
        networks,
        size_px=frames[0].frame.size_px,
        config=config,
        engine=engine,
    )
    centre = bundle.T_obj_centre
    for index in range(objects):
        tracks.start(frames[0].frame, frames[0].T_cam_obj @ centre, index)
    points = ModelPoints(bundle.mesh.vertices)
    samples, errors = Samples(), list[float]()
    outside = CallClock()
    with timed_outside_the_host(outside, engine):
        for item in forwards_and_backwards(frames):
            outside.reset()
            with samples.one(outside):
                found = tracks.update(item.frame)
            errors.extend(
                points.add(item.T_cam_obj @ centre, step.T_cam_centre) for step in found if step is not None
            )
    check(errors, bundle.diameter_m)
    return tracks.report.launches, samples


def run_stepwise(
    bundle: ObjectBundle,
    frames: list[LabelledFrame],
    networks: NetworkBundle | None,
    device: str,
    options: EngineOptions,
) -> Samples:
    """Times of `pipeline.track.stepwise` on one object, upload included."""
    on_device = ObjectOnDevice(bundle, device)
    network = None
    if networks is not None:
        network = PoseRefiner(on_device, networks, batch=2, options=options)
    tracker = StepwiseTracker(on_device, network)
    buffers = FrameBuffers(*frames[0].frame.size_px, device)
    buffers.upload(frames[0].frame)
    tracker.start(buffers, frames[0].T_cam_obj @ bundle.T_obj_centre)
    points = ModelPoints(bundle.mesh.vertices)
    samples, errors = Samples(), []
    for item in forwards_and_backwards(frames):
        with samples.one():
            buffers.upload(item.frame)
            found = tracker.update(buffers)
        errors.append(points.add(item.T_cam_obj @ bundle.T_obj_centre, found.T_cam_centre))
    check(errors, bundle.diameter_m)
    return samples


@dataclass(frozen=True, kw_only=True)
class StepOptions(NetworkOptions):
    """What is followed, and where."""

    device: Annotated[str, typer.Option(help="Of Warp and ONNX Runtime.")] = "cpu"
    frames: Annotated[int, typer.Option(help="Frames of the recording.")] = 60
    objects: Annotated[list[int] | None, typer.Option(help="Objects; given again for each. 1, 2 and 4.")] = None
    threads: Annotated[int | None, typer.Option(help="Of ONNX Runtime on a CPU.")] = None


@case(record="resident-*", timing=True)
def batched_tracker(options: StepOptions) -> Outcome:
    """Time the step of the batched tracker, and how much of it is the host's; bundle `none` is geometry alone."""
    networks = None if options.bundle == "none" else NetworkBundle.load(options.bundle)
    device = require_device(options.device)
    engine_options = EngineOptions(device=options.device, threads=options.threads)

    rows: list[dict[str, Any]] = []
    table = Table(title=f"resident step on {device.name}, bundle {options.bundle}, 640x480 [ms]")
    for heading in ("objects", "iterations", "launches", "p50", "p99", "CPU p50", "host p50", "host p99"):
        table.add_column(heading)

    def report(objects: str, iterations: str, launches: str, samples: Samples) -> None:
        times = samples.percentiles()
        rows.append({"objects": objects, "iterations": iterations, "launches": launches, **times})
        shown = (("wall_ms", "p50"), ("wall_ms", "p99"), ("cpu_ms", "p50"), ("host_ms", "p50"), ("host_ms", "p99"))
        table.add_row(
            objects,
            iterations,
            launches,
            *(f"{times[kind][key]:.2f}" if kind in times else "" for kind, key in shown),
        )

    with tempfile.TemporaryDirectory() as temporary:
        script = make_script(5_000, options.frames)
        bundle, _ = onboarded(script, Path(temporary))
        frames = list(SceneRenderer(script))
    for objects in options.objects or (1, 2, 4):
        for iterations in (0,) if networks is None else (1, 2):
            for graph in (True, False) if device.is_cuda else (False,):
                launches, samples = run(
                    bundle,
                    frames,
                    networks if iterations else None,
                    objects=objects,
                    config=BatchedTrackConfig(network_iterations=iterations, graph=graph),
                    device=options.device,
                    options=engine_options,
                )
                report(str(objects), str(iterations), launches, samples)
    stepwise = run_stepwise(bundle, frames, networks, options.device, engine_options)
    report("1", "as needed", "pipeline.track.stepwise", stepwise)
    Console(width=140).print(table)
    steps = [
        {key: [value[f"p{q}"] for q in RANKS] if isinstance(value, dict) else value for key, value in row.items()}
        for row in rows
    ]
    percentiles = [f"p{q}" for q in RANKS]
    summary = {"device": device.name, "bundle": options.bundle, "percentiles": percentiles, "steps": steps}
    return Outcome(summary=summary, rows=rows, record=f"resident-{'cuda' if device.is_cuda else 'cpu'}")
