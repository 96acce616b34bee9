"""Write the held-out evaluation sets as BOP scenes: the same files on every machine of one NumPy and OpenCV version.

    python benchmarks/make_sets.py OUT [--scenes 100] [--sequences 20] [--frames 60] [--jobs 2]

leaves ``OUT/scenes/000000 ...`` (one picture each) and ``OUT/sequences/000000 ...``, every one with its own model in
``models/obj_000001.ply``. What exists is kept, so an interrupted run goes on. The objects come from seeds that
training never uses (`storm_edge.synthetic.objects.EVALUATION_FROM`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from pathlib import Path

from rich.progress import track

from storm_edge.synthetic.scenes import evaluation_scenes, evaluation_sequences, write_scene


def write_one(task: tuple[Path, int, int]) -> None:
    """Write one scene: its folder, its seed, and its number of frames (1: a single picture)."""
    path, seed, frames = task
    if path.exists():
        return
    scripts = evaluation_scenes(1, seed) if frames == 1 else evaluation_sequences(1, frames, seed)
    write_scene(path, next(scripts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    tasks = [(options.out / "sequences" / f"{i:06d}", 10_000 + i, options.frames) for i in range(options.sequences)]
    tasks += [(options.out / "scenes" / f"{i:06d}", i, 1) for i in range(options.scenes)]
    for path, _, _ in tasks:
        path.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for _ in track(pool.imap_unordered(write_one, tasks), "writing scenes", total=len(tasks)):
            pass
    print(f"{len(tasks)} scenes in {options.out}, {time.perf_counter() - start:.0f} s with {options.jobs} processes")


if __name__ == "__main__":
    main()
