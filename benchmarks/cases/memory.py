"""Does the memory of a long run stay flat? 10 000 frames with an occlusion, and a loss, every hundred.

    python -m benchmarks run memory SETS [--frames 10000] [--bundle nano]

One held-out recording is played again and again; its full occlusion, and the jump from its end to its beginning, are
losses each time. Resident memory is read every 250 frames; what counts is its growth after the first 1000. The record
is ``records/memory.json``.
"""

from __future__ import annotations

import argparse
import gc
import os
from collections import Counter
from pathlib import Path

from rich.progress import track

from benchmarks.cases.recovery import FIRST_SEED, onboarded
from benchmarks.common import write_record
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.live.factory import make_object_sessions
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.synthetic.occlusions import recovery_sequence
from storm_edge.synthetic.scenes import write_scene

RECORDING = 10
WARM_UP = 1000
EVERY = 250


def resident_mib() -> float:
    """Resident memory of this process, after a collection [MiB]."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, help="folder for the recordings")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--bundle", default="nano")
    options = parser.parse_args()
    folder = options.sets / "recovery" / f"{RECORDING:06d}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_scene(folder, recovery_sequence(FIRST_SEED + RECORDING).script)
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
            samples.append((index + 1, resident_mib()))
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
        "resident_mib": samples,
    }
    print(write_record("memory", results))


if __name__ == "__main__":
    main()
