"""Write the evaluation sets as BOP scenes: the same files on every machine of one NumPy and OpenCV version.

    python -m benchmarks run make_sets OUT [--scenes 100] [--sequences 20] [--frames 60] [--split dev] [--jobs 2]

leaves ``OUT/scenes/000000 ...`` (one picture each) and ``OUT/sequences/000000 ...``, every one with its own model in
``models/obj_000001.ply``. What exists is kept, so an interrupted run goes on. The objects come from seeds that
training never uses (`storm_edge.synthetic.splits`). Those of ``--split test`` are looked at once per release.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from benchmarks.registry import case
from storm_edge.synthetic.scene_renderer import write_scene
from storm_edge.synthetic.scenes import evaluation_scenes, evaluation_sequences
from storm_edge.synthetic.splits import SCENES_DEV, SCENES_TEST, SEQUENCES_DEV, SEQUENCES_TEST


class SetSplit(str, Enum):
    """Which seeds."""

    DEV = "dev"
    """Those that rules are chosen by."""
    TEST = "test"
    """Those that nothing is chosen by."""


_RANGES = {SetSplit.DEV: (SCENES_DEV, SEQUENCES_DEV), SetSplit.TEST: (SCENES_TEST, SEQUENCES_TEST)}


def write_one(task: tuple[Path, int, int]) -> None:
    """Write one scene: its folder, its seed, and its number of frames (1: a single picture)."""
    path, seed, frames = task
    if path.exists():
        return
    scripts = evaluation_scenes(1, seed) if frames == 1 else evaluation_sequences(1, frames, seed)
    write_scene(path, next(scripts))


@dataclass(frozen=True, kw_only=True)
class SetsOptions:
    """How much is written, and where."""

    out: Annotated[Path, typer.Argument(help="Folder of the sets.")]
    scenes: Annotated[int, typer.Option(help="Single pictures.")] = 100
    sequences: Annotated[int, typer.Option(help="Recordings.")] = 20
    frames: Annotated[int, typer.Option(help="Frames of a recording.")] = 60
    split: Annotated[SetSplit, typer.Option(help="Which seeds.")] = SetSplit.DEV
    jobs: Annotated[int, typer.Option(help="Processes.")] = os.cpu_count() or 1


@case(record=None)
def make_sets(options: SetsOptions) -> None:
    """Write single pictures and recordings; what exists is kept."""
    sequences = options.out / "sequences"
    scene_seeds, sequence_seeds = _RANGES[options.split]
    tasks = [(sequences / f"{i:06d}", sequence_seeds.seed(i), options.frames) for i in range(options.sequences)]
    tasks += [(options.out / "scenes" / f"{i:06d}", scene_seeds.seed(i), 1) for i in range(options.scenes)]
    for path, _, _ in tasks:
        path.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for _ in track(pool.imap_unordered(write_one, tasks), "writing scenes", total=len(tasks)):
            pass
    print(f"{len(tasks)} scenes in {options.out}, {time.perf_counter() - start:.0f} s with {options.jobs} processes")
