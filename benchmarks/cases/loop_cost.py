"""What a session of several objects costs before its first frame: time, memory, and uploads of meshes.

    python -m benchmarks run loop_cost [--objects 8] [--repeats 5] [--bundle nano]

Every repeat is a process of its own, which makes a session of one object first, so that libraries are loaded and
kernels compiled, and keeps it. Then a session of all objects is made, each with its own detector and verifier; all
are the mug of `latency`, so that only what is made for an object counts. Timed are making it, and starting each
object at its true pose and tracking one frame, where buffers that are made on demand appear. Memory is what the
process holds more than before [MiB].
"""

from __future__ import annotations

import gc
import multiprocessing
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.cases.latency import make_script, onboarded
from benchmarks.registry import NetworkOptions, Outcome, case
from storm_edge.bench.memory import resident_mib
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.session import Session
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.synthetic.scene_renderer import SceneRenderer

FACE_COUNT, FRAME_COUNT = 5_000, 3


@dataclass(frozen=True, kw_only=True)
class LoopCostOptions(NetworkOptions):
    """How many objects, and how often."""

    objects: Annotated[int, typer.Option(help="Objects of the session.")] = 8
    repeats: Annotated[int, typer.Option(help="Processes.")] = 5


@case(record="loop_cost", timing=True)
def loop_cost(options: LoopCostOptions) -> Outcome:
    """Make a session of several objects in fresh processes; bundle `none` is geometry alone."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        onboarded(make_script(FACE_COUNT, FRAME_COUNT), folder)
        for _ in range(options.repeats):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measure_session, (folder / "mug", options.bundle, options.objects)))
    summary = {"objects": options.objects, "bundle": options.bundle, "repeats": options.repeats} | {
        name: {"p50": round(float(np.median(values)), 3), "min": min(values), "max": max(values)}
        for name in rows[0]
        for values in [[row[name] for row in rows]]
    }
    for name, value in summary.items():
        print(f"{name:<28} {value}")
    return Outcome(summary=summary, rows=rows)


def measure_session(path: Path, bundle: str, count: int) -> dict[str, Any]:
    """Make a session of ``count`` objects in this process, start it and track one frame."""
    item = ObjectBundle.load(path)
    networks = None if bundle == "none" else NetworkBundle.load(bundle)
    frames = list(SceneRenderer(make_script(FACE_COUNT, FRAME_COUNT)))
    kept = Session(make_object_sessions([item], networks))
    uploads = count_uploads()
    gc.collect()
    before_mib = _resident_mib()
    began = time.perf_counter()
    sessions = make_object_sessions([replace(item, object_id=f"mug_{i}") for i in range(count)], networks)
    session = Session(sessions)
    made_s, made_mib, made_uploads = time.perf_counter() - began, _resident_mib() - before_mib, len(uploads)
    buffers = FrameBuffers(*frames[0].frame.size_px)
    buffers.upload(frames[0].frame)
    began = time.perf_counter()
    for one in session.objects:
        one.start(frames[0].frame, buffers, frames[0].T_cam_obj)
    buffers.upload(frames[1].frame)
    for one in session.objects:
        one.track(frames[1].frame, buffers)
    started_s = time.perf_counter() - began
    assert len(kept.objects) == 1
    return {
        "made_s": round(made_s, 3),
        "made_mib": round(made_mib, 1),
        "made_uploads": made_uploads,
        "first_two_frames_s": round(started_s, 3),
        "after_two_frames_mib": round(_resident_mib() - before_mib, 1),
        "after_two_frames_uploads": len(uploads),
    }


def count_uploads() -> list[object]:
    """A list that gets an entry whenever a mesh is uploaded from now on."""
    seen: list[object] = []
    upload = MeshBuffers.from_mesh

    def counted(mesh: Any, device: Any = "cpu") -> MeshBuffers:
        seen.append(mesh)
        return upload(mesh, device)

    MeshBuffers.from_mesh = counted  # type: ignore[method-assign]
    return seen


def _resident_mib() -> float:
    mib = resident_mib()
    assert mib is not None, "this system does not say how much memory a process holds"
    return mib
