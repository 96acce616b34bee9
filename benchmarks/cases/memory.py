"""Does the memory of a long run stay flat? 10 000 frames with an occlusion, and a loss, every hundred.

    python -m benchmarks run memory SETS [--frames 10000] [--bundle nano]

One synthetic recording is played again and again; its full occlusion, and the jump from its end to its beginning, are
losses each time. Resident memory is read every 250 frames; what counts is its growth after the first 1000.
"""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import track

from benchmarks.recordings import onboarded, recovery_scene
from benchmarks.registry import Outcome, SetOptions, case
from benchmarks.timing import BOTH_TAILS
from storm_edge.bench.memory import resident_mib
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.live.factory import make_object_sessions
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

RECORDING = 10
WARM_UP = 1000
EVERY = 250


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(SetOptions):
    """How long it runs."""

    frames: Annotated[int, typer.Option(help="Frames that are played.")] = 10_000


@case(record="memory")
def memory(options: MemoryOptions) -> Outcome:
    """Play one recording again and again and read the resident memory."""
    folder = recovery_scene(options.sets, RECORDING)
    scene, bundle = BopScene(folder), onboarded(folder)
    recording = [scene.frame(frame_id) for frame_id in scene.frame_ids]
    (loop,) = make_object_sessions([bundle], NetworkBundle.load(options.bundle))
    buffers = FrameBuffers(*recording[0].size_px)
    states: Counter[str] = Counter()
    losses = 0
    samples: list[tuple[int, float]] = []
    for index in track(range(options.frames), "frames"):
        still = recording[index % len(recording)]
        frame = Frame(rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=index, stamp_ns=index * 33_333_333)
        buffers.upload(frame)
        found = loop.track(frame, buffers)
        states[found.state.value] += 1
        losses += found.state.value == "LOST"
        if (index + 1) % EVERY == 0:
            gc.collect()
            samples.append((index + 1, resident_mib() or float("nan")))
    after = [mib for at, mib in samples if at >= WARM_UP]
    growth = after[-1] - after[0]
    print(f"{losses} losses in {options.frames} frames; from {after[0]:.1f} MiB after {WARM_UP}: {growth:+.1f} MiB,")
    print(f"at most {max(after) - after[0]:+.1f} MiB between; states {dict(states)}")
    results = {
        "frames": options.frames,
        "losses": losses,
        "states": dict(states),
        "growth_mib": growth,
        "largest_growth_mib": max(after) - after[0],
        "resident_mib": percentiles(after, BOTH_TAILS),
    }
    rows = [{"frame": at, "resident_mib": mib} for at, mib in samples]
    return Outcome(summary=results, rows=rows)
