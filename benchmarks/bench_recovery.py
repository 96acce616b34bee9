"""Does the loop notice that it lost the object, and find it again? Held-out recordings with a full occlusion.

    python -m benchmarks.bench_recovery SETS [--count 20] [--first 0] [--bundle none] [--tracker resident] [--jobs 2]

writes ``SETS/recovery/000000 ...`` (kept for the next run), starts each at the first mask and lets the loop run to
the end. A board hides the object for 10 to 40 frames while it moves on to another place and another side. The words
of the report are those of `storm_edge.evaluate.recovery`; the record is ``records/recovery.json``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.common import write_record
from storm_edge.data.bop import BopScene
from storm_edge.data.synthetic.occlusions import recovery_sequence
from storm_edge.data.synthetic.scenes import write_stage
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import MaskError
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.evaluate.recovery import FrameRecord, report_recovery
from storm_edge.geometry.se3 import invert, transform
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.runtime.assembly import make_loops
from storm_edge.runtime.object_loop import LoopConfig
from storm_edge.runtime.sequence import Init, follow
from storm_edge.runtime.track_group import TrackerKind

FIRST_SEED = 20_000
_LETTER = {"TRACKING": "T", "SUSPECT": "S", "LOST": "L", "SEARCHING": ".", "REGISTERING": "r"}


def run_one(task: tuple[Path, int, str, TrackerKind]) -> list[FrameRecord] | None:
    """Make a recording if it is not there, run the loop over it, and compare with the truth.

    None for an object that shows no depth in its first picture (glass, chrome): nothing can start there.
    """
    path, seed, networks, tracker = task
    if not path.is_dir():
        write_stage(path, recovery_sequence(seed).stage)
    scene = BopScene(path)
    bundle = onboarded(path)
    config = LoopConfig(tracker=tracker)
    (loop,) = make_loops([bundle], None if networks == "none" else NetworkBundle.load(networks), config=config)
    T = bundle.T_obj_centre
    model = ModelPoints(transform(T, bundle.mesh_lod.vertices), T @ bundle.symmetries @ invert(T))
    records = []
    followed = follow(scene, [loop], init=Init.MASK)
    while True:
        try:
            frame, (found,) = next(followed)
        except StopIteration:
            return records
        except MaskError:
            return None
        error = np.inf
        if found.T_cam_obj is not None:
            truth = scene.ground_truth(frame.index)[0].T_cam_obj
            error = model.add_s(truth, found.T_cam_obj) / bundle.diameter_m
        whole = int(scene.mask(frame.index).sum())
        seen = int(scene.mask_visib(frame.index).sum())
        records.append(FrameRecord(state=found.state.value, error_share=error, visible_share=seen / max(whole, 1)))


def onboarded(path: Path) -> ObjectBundle:
    """The scene's object; its bundle is kept for the next run."""
    model = next(iter(sorted((path / "models").glob("obj_*.ply"))))
    kept = Path(tempfile.gettempdir()) / "storm-edge-bench" / f"{path.parent.name}-{path.name}" / model.stem
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        onboard(model, "mm").save(kept)
    return ObjectBundle.load(kept)


def picture(records: list[FrameRecord]) -> str:
    """A letter per frame: the state, small where the pose is wrong; and below it how much is visible."""
    states = "".join(_LETTER[r.state].lower() if r.wrong else _LETTER[r.state] for r in records)
    shares = "".join("_" if r.hidden else "," if r.visible_share < 0.5 else "#" for r in records)
    return f"{states}\n{shares}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, help="folder for the recordings")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first recording")
    parser.add_argument("--bundle", default="nano", help="a network bundle, or none for geometry alone")
    parser.add_argument("--tracker", default="stepwise", choices=[kind.value for kind in TrackerKind])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--name", default="recovery")
    options = parser.parse_args()

    folder = options.sets / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(options.first, options.first + options.count)
    tasks = [(folder / f"{i:06d}", FIRST_SEED + i, options.bundle, TrackerKind(options.tracker)) for i in numbers]
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, options.count)) as pool:
        done = list(track(pool.imap(run_one, tasks), "recordings", total=len(tasks)))
    sequences = [records for records in done if records is not None]
    for (path, *_), records in zip(tasks, done, strict=True):
        said = "no depth to start from" if records is None else report_recovery([records]).sentence()
        print(f"{path.name}: {said}\n{picture(records or [])}")
    report = report_recovery(sequences)
    print(f"\nall: {report.sentence()}")
    first_seed = FIRST_SEED + options.first
    write_record(
        options.name,
        {
            "bundle": options.bundle,
            "tracker": options.tracker,
            "first_seed": first_seed,
            "without_depth": done.count(None),
            "report": asdict(report),
        },
    )


if __name__ == "__main__":
    main()
