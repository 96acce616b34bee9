"""How long register, track, onboarding and the first pose take on this machine.

    python -m benchmarks run latency [--bundle nano] [--frames 150]

A recording of 640x480 is rendered first (a mug in a hand, clutter, noise) and held in memory. Timed is the whole
chain from a decoded frame to the pose, without drawing or writing: upload, geometry, network where it is asked,
judging. The poses are checked against the truth before a number is printed. ``first pose`` is the wall time from
starting the `storm-edge track` process to its first line of poses.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.registry import NetworkOptions, Outcome, case
from benchmarks.timing import spread
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.live.factory import make_object_sessions
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.scene_renderer import LabelledFrame, SceneRenderer, write_scene
from storm_edge.synthetic.scene_script import MovingMesh
from storm_edge.synthetic.scenes import evaluation_scene
from storm_edge.synthetic.splits import OBJECTS_DEV, SEQUENCES_DEV

_SCENE_SEED = SEQUENCES_DEV.seed(3)
_OBJECT_SEED = OBJECTS_DEV.seed(5)


def make_script(face_count: int, frame_count: int) -> Any:
    """A hand-held mug of about ``face_count`` triangles."""
    script = evaluation_scene(_SCENE_SEED, frame_count=frame_count, unique_pose=True)
    mug = make_object(
        _OBJECT_SEED, evaluation=True, family="mug", paint_kind="labels", diameter_m=0.15, face_count=face_count
    )
    return replace(script, target=MovingMesh(mesh=mug.mesh, T_world_obj=script.target.T_world_obj))


def onboarded(script: Any, folder: Path) -> tuple[ObjectBundle, float]:
    """The target's bundle and how long onboarding took [s]."""
    write_ply(folder / "mug.ply", script.target.mesh)
    start = time.perf_counter()
    bundle = onboard(folder / "mug.ply", "mm")
    bundle.save(folder / "mug")
    return bundle, time.perf_counter() - start


def run_tracking(
    bundle: ObjectBundle, frames: list[LabelledFrame], networks: NetworkBundle | None, objects: int
) -> list[float]:
    """Time of each frame [ms] with ``objects`` loops on it."""
    loops = make_object_sessions([bundle] * objects, networks)
    buffers = FrameBuffers(*frames[0].frame.size_px)
    buffers.upload(frames[0].frame)
    for loop in loops:
        loop.start(frames[0].frame, buffers, frames[0].T_cam_obj)
    points = ModelPoints(bundle.mesh.vertices)
    samples, errors = [], []
    for number, item in enumerate(frames[1:] + frames[-2::-1], start=1):  # forwards and backwards
        frame = replace(item.frame, index=number, stamp_ns=round(number * 1e9 / 30.0))
        start = time.perf_counter()
        buffers.upload(frame)
        tracks = [loop.track(frame, buffers) for loop in loops]
        samples.append(1e3 * (time.perf_counter() - start))
        pose = tracks[0].T_cam_obj
        errors.append(np.inf if pose is None else points.add(item.T_cam_obj, pose))
    right = float(np.mean(np.array(errors) < 0.1 * bundle.diameter_m))
    if right < 0.95:
        raise SystemExit(f"only {right:.1%} of the poses are within 0.1 d; these times mean nothing")
    return samples[5:]


def run_registration(
    bundle: ObjectBundle, frames: list[LabelledFrame], networks: NetworkBundle | None, count: int
) -> list[float]:
    """Time of registrations [ms], each in another frame."""
    (loop,) = make_object_sessions([bundle], networks)
    buffers = FrameBuffers(*frames[0].frame.size_px)
    points = ModelPoints(bundle.mesh.vertices)
    samples, right = [], 0
    for item in [frames[0], *frames[:: max(1, len(frames) // count)][:count]]:
        buffers.upload(item.frame)
        start = time.perf_counter()
        track = loop.register(item.frame, buffers, item.mask_visib)
        samples.append(1e3 * (time.perf_counter() - start))
        right += (
            track.T_cam_obj is not None and points.add_s(item.T_cam_obj, track.T_cam_obj) < 0.1 * bundle.diameter_m
        )
    if right < 0.9 * len(samples):
        raise SystemExit(f"only {right} of {len(samples)} registrations are right; these times mean nothing")
    return samples[1:]


def first_pose_s(scene: Path, bundle: Path, networks: str, folder: Path) -> float:
    """Wall time from process start to the first pose line of the real command [s]."""
    out = folder / "first"
    command = [sys.executable, "-m", "storm_edge", "track", str(scene), "--object", str(bundle), "--bundle", networks]
    start = time.perf_counter()
    with subprocess.Popen([*command, "--out", str(out), "--no-pictures"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            lines = list(folder.glob(".first.partial-*/poses.jsonl.part"))
            if lines and lines[0].stat().st_size > 0:
                elapsed = time.perf_counter() - start
                process.wait()
                return elapsed
            time.sleep(0.005)
    raise SystemExit("storm-edge track ended without a pose")


@dataclass(frozen=True, kw_only=True)
class LatencyOptions(NetworkOptions):
    """What is timed."""

    frames: Annotated[int, typer.Option(help="Frames of the recording.")] = 150


@case(record="latency-cpu", timing=True)
def latency(options: LatencyOptions) -> Outcome:
    """Time register, track, onboarding and the first pose; bundle `none` is geometry alone."""
    networks = None if options.bundle == "none" else NetworkBundle.load(options.bundle)

    results: dict[str, Any] = {"bundle": options.bundle}
    table = Table(title=f"latency, bundle {options.bundle}, 640x480")
    for heading in ("what", "p50", "p95", "p99", "unit"):
        table.add_column(heading)

    def report(name: str, samples_ms: list[float]) -> None:
        row = spread(samples_ms)
        results[name] = row
        table.add_row(name, *(f"{row[key]:.1f}" for key in ("p50", "p95", "p99")), "ms")

    def report_once(name: str, seconds: float) -> None:
        results[name] = round(seconds, 2)
        table.add_row(name, f"{seconds:.2f}", "", "", "s")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for faces in (1_000, 5_000, 20_000):
            script = make_script(faces, options.frames)
            bundle, spent_s = onboarded(script, folder)
            frames = list(SceneRenderer(script))
            triangles = len(script.target.mesh.faces)
            report_once(f"onboarding, {triangles} triangles", spent_s)
            report(f"register, {triangles} triangles", run_registration(bundle, frames, networks, 15))
            report(f"track, 1 object, {triangles} triangles", run_tracking(bundle, frames, networks, 1))
            if faces == 5_000:
                for count in (2, 4, 8):
                    name = f"track, {count} objects, {triangles} triangles"
                    report(name, run_tracking(bundle, frames, networks, count))
                write_scene(folder / "scene", replace(script, frame_count=5))
                times = [first_pose_s(folder / "scene", folder / "mug", options.bundle, folder) for _ in range(3)]
                report_once("process start to first pose, warm kernel cache", float(np.median(times)))
    Console(width=120).print(table)
    return Outcome(summary=results)
