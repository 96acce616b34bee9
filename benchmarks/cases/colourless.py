"""Are models without colours found, and is a wrong place ever believed? Recordings with and without the object.

    python -m benchmarks run colourless SETS [--count 10] [--first 0] [--split val] [--frames 16] [--real DATA]

The models of generated recordings are stripped of their colours, as an STL file or a lost texture leaves them, and
searched for by the model alone (``--init auto``): each in its own recording, and in the next one, where it is absent.
``--real`` adds the recording `cup`, where the models of the generated ones are absent. A pose is right if ADD-S is
below a tenth of the diameter; a wrong place is believed where the state is TRACKING and the pose is not right.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.registry import Outcome, SetOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import invert, transform
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.session import Session
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.mesh_io import load_mesh
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.replay.follow import follow
from storm_edge.synthetic.scene_renderer import write_scene
from storm_edge.synthetic.scenes import evaluation_sequences
from storm_edge.synthetic.splits import SEQUENCES_DEV, SEQUENCES_TEST, SEQUENCES_VAL_BUNDLE

RIGHT_BELOW = 0.1
"""ADD-S over the diameter below which a pose is right."""


class SequenceSplit(str, Enum):
    """Which recordings."""

    DEV = "dev"
    """Those that rules are chosen by."""
    VAL = "val"
    """Those that check them."""
    TEST = "test"
    """Those that nothing is chosen by: looked at once per release."""


_RANGES = {
    SequenceSplit.DEV: SEQUENCES_DEV,
    SequenceSplit.VAL: SEQUENCES_VAL_BUNDLE,
    SequenceSplit.TEST: SEQUENCES_TEST,
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model without colours, searched for in one recording."""

    name: str
    model: Path
    scene: Path
    labels: str
    present: bool
    networks: str


def stripped(model: Path) -> ObjectBundle:
    """The object of a BOP model without its colours; its bundle is kept for the next run."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / "storm-edge-bench" / "colourless" / digest
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        mesh = load_mesh(model, "mm")
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / model.name
            write_ply(plain, make_mesh(mesh.vertices, mesh.faces, normals=mesh.normals))
            onboard(plain, "mm").save(kept)
    return ObjectBundle.load(kept)


def run_one(task: Task) -> dict[str, Any]:
    """Follow a recording; how many of its frames were right, and in how many a wrong place was believed."""
    scene, bundle = BopScene(task.scene, labels=task.labels), stripped(task.model)
    T = bundle.T_obj_centre
    model = ModelPoints(transform(T, bundle.mesh_lod.vertices), T @ bundle.symmetries @ invert(T))
    session = Session(make_object_sessions([bundle], NetworkBundle.load(task.networks)))
    states = dict.fromkeys(TrackState, 0)
    right: list[int] = []
    believed = 0
    for frame, (said,) in follow(scene, session, init=Init.AUTO):
        states[said.state] += 1
        if said.T_cam_obj is None:
            continue
        error_m = np.inf
        if task.present:
            error_m = model.add_s(scene.ground_truth(frame.index)[0].T_cam_obj, said.T_cam_obj)
        if error_m < RIGHT_BELOW * bundle.diameter_m:
            right.append(frame.index)
        elif said.state is TrackState.TRACKING:
            believed += 1
    return {
        "object": task.name,
        "present": task.present,
        "frames": sum(states.values()),
        "tracking": states[TrackState.TRACKING],
        "right": len(right),
        "first_right": right[0] if right else None,
        "wrong_believed": believed,
    }


@dataclass(frozen=True, kw_only=True)
class ColourlessOptions(SetOptions):
    """Which recordings."""

    count: Annotated[int, typer.Option(help="How many generated recordings.")] = 10
    first: Annotated[int, typer.Option(help="Number of the first.")] = 0
    split: Annotated[SequenceSplit, typer.Option(help="Which ones.")] = SequenceSplit.VAL
    frames: Annotated[int, typer.Option(help="Frames of each.")] = 16
    real: Annotated[Path | None, typer.Option(help="Folder with the recording cup.")] = None
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1


@case(record="colourless")
def colourless(options: ColourlessOptions) -> Outcome:
    """Search for models without colours, where they are and where they are not."""
    tasks = _tasks(options)
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, len(tasks))) as pool:
        rows = []
        for row in track(pool.imap(run_one, tasks), "recordings", total=len(tasks)):
            rows.append(row)
            print(row, flush=True)
    table = Table("object", "is there", "frames", "TRACKING", "right", "first right", "wrong believed")
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    Console().print(table)
    there = [row for row in rows if row["present"]]
    summary = {
        "bundle": options.bundle,
        "split": options.split.value,
        "first_seed": _RANGES[options.split].seed(options.first),
        "present": len(there),
        "found": sum(row["first_right"] is not None for row in there),
        "right_frames": sum(row["right"] for row in there),
        "frames_present": sum(row["frames"] for row in there),
        "absent": len(rows) - len(there),
        "wrong_believed_frames": sum(row["wrong_believed"] for row in rows),
        "objects": [
            [row["object"], row["present"], row["frames"], row["right"], row["wrong_believed"]] for row in rows
        ],
    }
    print({name: value for name, value in summary.items() if name != "objects"})
    return Outcome(summary=summary, rows=rows)


def _tasks(options: ColourlessOptions) -> Sequence[Task]:
    """Every object in its own recording and in the next; and with the real one."""
    scenes = []
    for index in range(options.first, options.first + options.count):
        path = options.sets / "colourless" / f"{options.split.value}-{index:06d}"
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = _RANGES[options.split].seed(index)
            write_scene(path, next(evaluation_sequences(1, options.frames, seed)))
        scenes.append(path)
    models = [path / "models" / "obj_000001.ply" for path in scenes]
    made = "scene_gt.json"

    def task(model: Path, scene: Path, present: bool) -> Task:
        return Task(
            name=f"{model.parts[-3]}",
            model=model,
            scene=scene,
            labels=made,
            present=present,
            networks=options.bundle,
        )

    tasks = [task(model, scene, True) for model, scene in zip(models, scenes, strict=True)]
    others = [*scenes[1:], scenes[0]]
    tasks += [task(model, scene, False) for model, scene in zip(models, others, strict=True) if len(scenes) > 1]
    if options.real is not None:
        cup = options.real / "cup"
        real = task(cup / "models" / "obj_000001.ply", cup, True)
        tasks.append(replace(real, labels="scene_gt_pseudo.json"))
        tasks += [replace(real, model=model, name=model.parts[-3], present=False) for model in models[:2]]
        tasks += [replace(real, scene=scene, present=False, labels=made) for scene in scenes[:2]]
        tasks = [replace(item, labels="scene_gt_pseudo.json") if item.scene == cup else item for item in tasks]
    return tasks
