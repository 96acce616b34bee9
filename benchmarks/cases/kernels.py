"""Time the picture kernels: rasteriser, network inputs, depth filter; and how long the first call takes.

    python -m benchmarks run kernels [--device cuda]

Every result is checked before its time is taken. A CPU runs Warp kernels on one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
import warp as wp

from benchmarks.ball import DISTANCE_M, RADIUS_M, K, ball, poses
from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.timing import RANKS, measure
from storm_edge.frame import Frame
from storm_edge.geometry.camera import crop_K
from storm_edge.kernels.depth import UPSTREAM_FILTER, DepthFilterBuffers
from storm_edge.kernels.device import Device, require_device
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer, render
from storm_edge.pipeline.inputs.config import DEFAULT, PARITY
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs

_FIRST_CALL = """
import time; start = time.perf_counter()
import numpy as np, warp as wp
from benchmarks.ball import ball, K, make_T
from storm_edge.kernels.renderer import render
render(ball(320), make_T(np.eye(3), [0, 0, 0.6]), K, 80)
print(time.perf_counter() - start)
"""


def time_raster(device: Device) -> list[dict[str, Any]]:
    rows = []
    for triangles in (1_000, 5_000, 20_000):
        mesh = MeshBuffers.from_mesh(ball(triangles), device)
        for size_px in (80, 160):
            side = 2.0 * 1.2 * RADIUS_M * K[0, 0] / DISTANCE_M  # crop ratio 1.2: what the networks see
            scale = side / size_px
            offset = K[:2, 2] - side / 2 + scale / 2
            for count in (1, 8, 64):
                T = wp.array(poses(count).astype(np.float32), dtype=wp.mat44f, device=device)
                K_crop = np.tile(crop_K(K, [scale, scale], offset).astype(np.float32), (count, 1, 1))
                K_each = wp.array(K_crop, dtype=wp.mat33f, device=device)
                renderer = Renderer(mesh, batch=count, size_px=size_px)

                def work(renderer: Renderer = renderer, T: Any = T, K_each: Any = K_each) -> None:
                    renderer.launch(T, K_each)
                    wp.synchronize_device(renderer.mesh.device)

                work()
                middle = renderer.depth.numpy()[:, size_px // 2, size_px // 2]
                assert np.abs(middle - (DISTANCE_M - RADIUS_M)).max() < 1e-3, "the ball is not where it should be"
                rows.append({"poses": count, "triangles": triangles, "size_px": size_px, **asdict(measure(work))})
    return rows


def time_inputs(device: Device) -> list[dict[str, Any]]:
    mesh = MeshBuffers.from_mesh(ball(5_000), device)
    picture = render(mesh, poses(1), K, (480, 640))
    frame = Frame(rgb=np.rint(picture.colour[0] * 255).astype(np.uint8), depth_m=picture.depth[0], K=K, index=0)
    buffers = FrameBuffers(480, 640, device)

    def upload() -> None:
        buffers.upload(frame)
        wp.synchronize_device(device)

    rows: list[dict[str, Any]] = [{"what": "upload 640x480", **asdict(measure(upload))}]
    depth_filter = DepthFilterBuffers(480, 640, UPSTREAM_FILTER, device)
    for name, window in {"200x200": (220, 140, 200, 200), "640x480": None}.items():

        def smooth(window: Any = window) -> None:
            depth_filter.launch(buffers.depth, window)
            wp.synchronize_device(device)

        smooth()
        assert abs(float(depth_filter.filtered.numpy()[240, 320]) - (DISTANCE_M - RADIUS_M)) < 1e-3
        rows.append({"what": f"depth filter {name}", **asdict(measure(smooth))})
    for name, preset, size_px in (("default", DEFAULT, 80), ("parity", PARITY, 160)):
        for count in (1, 8, 64):
            pair = PairInputs(mesh, diameter_m=2 * RADIUS_M, preset=preset, batch=count, size_px=size_px)
            T = poses(count)

            def fill(pair: PairInputs = pair, T: np.ndarray = T) -> None:
                buffers._filtered_windows.clear()  # as with a new image each time
                pair.fill(buffers, T)
                wp.synchronize_device(device)

            fill()
            middle = pair.rendered.numpy()[:, 5, size_px // 2, size_px // 2]
            assert np.abs(middle + 1.0).max() < 0.02, "the ball's front is not one radius before its centre"
            what = f"pair inputs, {name}, {size_px} px, {count} poses, 5k triangles"
            rows.append({"what": what, **asdict(measure(fill))})
    return rows


def first_call_s() -> dict[str, float]:
    """Seconds from the interpreter's start to one rendered picture: kernels compiled anew, and cached."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "WARP_CACHE_PATH": cache}
        seconds = {}
        for name in ("cold", "warm"):
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_CALL], env=environment, capture_output=True, text=True, check=True
            )
            seconds[name] = round(float(done.stdout.split()[-1]), 2)
    return seconds


def _times(row: dict[str, Any]) -> str:
    return f"{row['wall_ms']['p50']:8.2f} {row['wall_ms']['p99']:8.2f} {row['cpu_ms']['p50']:8.2f}"


@dataclass(frozen=True, kw_only=True)
class KernelOptions(RecordOptions):
    """Where they run."""

    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<i>.")] = "cpu"


@case(record="kernels-*", timing=True)
def kernels(options: KernelOptions) -> Outcome:
    """Time rasteriser, network inputs and depth filter, and the first call of a process."""
    device = require_device(options.device)
    raster, inputs, start = time_raster(device), time_inputs(device), first_call_s()
    print(f"{'poses':>6} {'triangles':>10} {'px':>4} {'p50':>8} {'p99':>8} {'CPU p50':>8}  [ms]")
    for row in raster:
        print(f"{row['poses']:>6} {row['triangles']:>10} {row['size_px']:>4} {_times(row)}")
    for row in inputs:
        print(f"{row['what']:<60} {_times(row)}")
    print(f"first picture of a process: {start['cold']} s compiling, {start['warm']} s from the kernel cache")
    name = "kernels-" + ("cpu" if device.is_cpu else device.name.lower().replace(" ", "-"))
    summary = {
        "percentiles": [f"p{q}" for q in RANKS],
        "raster": {f"{r['poses']} poses, {r['triangles']} triangles, {r['size_px']} px": _short(r) for r in raster},
        "inputs": {row["what"]: _short(row) for row in inputs},
        "first_picture_s": start,
    }
    return Outcome(summary=summary, rows=[*raster, *inputs], record=name)


def _short(row: dict[str, Any]) -> dict[str, list[float]]:
    return {kind: [row[kind][f"p{q}"] for q in RANKS] for kind in ("wall_ms", "cpu_ms")}
