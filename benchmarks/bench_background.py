"""Does a search in the background make the frame loop wait? Track latency with and without one, 2 cores.

    python -m benchmarks.bench_background SETS [--frames 1500] [--rate 30] [--bundle nano]

A held-out recording (made where it is missing) is played to and fro at ``--rate``, and its object tracked from the
true pose. In the second run an object that is in no frame is searched for in the whole image all the time, by the
lane of `storm_edge.runtime.background`. The runs alternate, three each, so that a drift of the machine meets both.
Reported: time from the call to the pose, frames that began late, searches that ended. Record: ``background.json``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recovery import FIRST_SEED, onboarded
from benchmarks.common import write_record
from storm_edge.data.bop import BopScene
from storm_edge.data.synthetic.occlusions import recovery_sequence
from storm_edge.data.synthetic.scenes import write_stage
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frames import Frame
from storm_edge.perception.inputs import FrameBuffers
from storm_edge.runtime.assembly import make_loops
from storm_edge.runtime.background import BackgroundLane
from storm_edge.runtime.outputs import State

RUNS = 3
CLEAR = 28
"""Frames of the recording that are played: before anything hides the object."""
WARM_UP = 60


def play(
    scene: BopScene, others: BopScene, networks: NetworkBundle, *, searching: bool, frames: int, rate_hz: float
) -> dict[str, Any]:
    """One run: latencies [ms] of the tracked object, and what became of the search."""
    bundle, absent = onboarded(scene.path), onboarded(others.path)
    clear = [scene.frame(i) for i in scene.frame_ids[:CLEAR]]
    order = [*range(CLEAR), *range(CLEAR - 2, 0, -1)]
    T = scene.ground_truth(scene.frame_ids[0])[0].T_cam_obj
    buffers = FrameBuffers(*clear[0].size_px)
    latency_ms: list[float] = []
    late = followed = attempts = 0
    with BackgroundLane() as lane:
        (tracked,) = make_loops([bundle], networks)
        seekers = make_loops([absent], networks, lane=lane) if searching else []
        began = time.monotonic()
        for index in range(frames + WARM_UP):
            due = began + index / rate_hz
            if (rest := due - time.monotonic()) > 0.0:
                time.sleep(rest)
            elif rest < -0.5 / rate_hz:
                late += 1
            still = clear[order[index % len(order)]]
            frame = Frame(
                rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=index, stamp_ns=round(1e9 * index / rate_hz)
            )
            lane.arrive(index, next_due_s=due + 1.0 / rate_hz)
            start = time.perf_counter()
            with lane.tracking():
                buffers.upload(frame)
                track = tracked.start(frame, buffers, T) if index == 0 else tracked.track(frame, buffers)
            spent_ms = (time.perf_counter() - start) * 1e3
            for seeker in seekers:
                seeker.track(frame, buffers)
            if index >= WARM_UP:
                latency_ms.append(spent_ms)
                followed += track.state is State.TRACKING
        if seekers:
            attempts = seekers[0].belief.attempt_count
            assert not seekers[0].belief.has_pose, "the absent object was found; this measures nothing"
    assert followed > 0.95 * frames, f"the object was followed in {followed} of {frames} frames only"
    return {"latency_ms": latency_ms, "late": late, "attempts": attempts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, help="folder for the recordings")
    parser.add_argument("--frames", type=int, default=1500, help="per kind, over all runs")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--bundle", default="nano")
    options = parser.parse_args()
    folder = options.sets / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    for number in (0, 1):
        if not (folder / f"{number:06d}").is_dir():
            write_stage(folder / f"{number:06d}", recovery_sequence(FIRST_SEED + number).stage)
    scene, others = (BopScene(folder / f"{number:06d}") for number in (0, 1))
    networks = NetworkBundle.load(options.bundle)
    results: dict[str, dict[str, Any]] = {}
    runs: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for _ in range(RUNS):
        for searching in (False, True):
            runs[searching].append(
                play(
                    scene, others, networks, searching=searching, frames=options.frames // RUNS, rate_hz=options.rate
                )
            )
    table = Table("", "p50 [ms]", "p90", "p99", "max", "late frames", "searches begun")
    for searching, done in runs.items():
        values = np.concatenate([run["latency_ms"] for run in done])
        p50, p90, p99 = np.percentile(values, [50, 90, 99])
        name = "while searching" if searching else "alone"
        results[name] = {
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "max_ms": float(values.max()),
            "p99_of_runs_ms": [float(np.percentile(run["latency_ms"], 99)) for run in done],
            "late": sum(run["late"] for run in done),
            "attempts": sum(run["attempts"] for run in done),
            "frames": len(values),
        }
        row = results[name]
        cells = [f"{row[key]:.1f}" for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")]
        table.add_row(name, *cells, str(row["late"]), str(row["attempts"]))
    ratio = results["while searching"]["p99_ms"] / results["alone"]["p99_ms"]
    console = Console()
    console.print(table)
    console.print(f"p99 while searching is {ratio:.2f} times p99 alone, at {options.rate:g} Hz")
    print(write_record("background", {"rate_hz": options.rate, "p99_ratio": ratio, **results}))


if __name__ == "__main__":
    main()
