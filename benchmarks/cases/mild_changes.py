"""Does the verdict on a recording stay when it is changed mildly? Each is followed as it is, and in six copies.

    python -m benchmarks run mild_changes --real DATA [--scenes cup,basket] [--init mask,auto] [--changes jpeg,later]

DATA is a folder of real scenes with their models. The changes (`benchmarks.mild.changes`): JPEG files of quality 60,
a later beginning, left and right exchanged (of the object as well), darker, brighter, and a border cut off. Copies
are made in a temporary folder. Verdicts are of `benchmarks.mild.verdict`; frames whose label is an estimate of class
C are not judged. A change that cannot be made of a scene (a single image has no later beginning) is left out.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.mild.changes import Change, Shot, mirrored_mesh
from benchmarks.mild.copies import (
    MODELS_INFO,
    Recording,
    changed,
    read_recording,
    scene_paths,
    write_mirrored_model,
    write_scene_copy,
)
from benchmarks.mild.verdict import Judge, Said, Shares, Truth, Verdict
from benchmarks.registry import NetworkOptions, Outcome, case
from storm_edge.bop.models import read_models_info
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init, LengthUnit
from storm_edge.cli.inputs import make_object
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import ConfigError, StormEdgeError, mismatch
from storm_edge.geometry.mesh import diameter
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.session import Session
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.follow import follow

GOOD = ("A", "B")
"""Classes of estimated labels that are judged by."""
STARTS = (Init.MASK, Init.AUTO)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One copy of a scene, begun in one way."""

    scene: str
    init: str
    change: str
    verdict: str
    shares: Shares | None
    reason: str | None = None
    """Why it was refused."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A scene with all its copies."""

    path: Path
    inits: tuple[Init, ...]
    changes: tuple[Change, ...]
    networks: str


def run_scene(task: Task) -> list[Row]:
    """Follow all copies of a scene."""
    networks = None if task.networks == "none" else NetworkBundle.load(task.networks)
    recording = read_recording(task.path)
    good = good_frames(task.path)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = _onboarded(recording.model)
        for change in (Change.NONE, *task.changes):
            shots = changed(recording, change)
            if shots is None:
                continue
            write_scene_copy(shots, recording, folder / change.value)
            is_mirrored = change is Change.MIRRORED
            bundle = _onboarded(write_mirrored_model(recording, folder / "models")) if is_mirrored else plain
            judge, truths = _judge(recording, is_mirrored=is_mirrored), truths_of(shots, good)
            for init in task.inits:
                row = _run(BopScene(folder / change.value), bundle, networks, init, judge, truths)
                rows.append(Row(scene=recording.name, init=init.value, change=change.value, **row))
                print(json.dumps(asdict(rows[-1])), flush=True)
    return rows


def _run(
    scene: BopScene,
    bundle: ObjectBundle,
    networks: NetworkBundle | None,
    init: Init,
    judge: Judge,
    truths: dict[int, Truth],
) -> dict[str, Any]:
    said: dict[int, Said] = {}
    try:
        with Session(make_object_sessions([bundle], networks)) as session:
            for frame, (found,) in follow(scene, session, init=init):
                is_tracking = found.state is TrackState.TRACKING
                said[frame.index] = Said(T_cam_obj=found.T_cam_obj, is_tracking=is_tracking)
    except StormEdgeError as error:
        return {"verdict": Verdict.REFUSED.value, "shares": None, "reason": str(error)}
    shares = judge.shares(truths, said)
    return {"verdict": shares.verdict.value, "shares": shares}


def _onboarded(model: Path) -> ObjectBundle:
    """The object of a model file, as the command makes it: with the symmetries listed beside it."""
    return make_object(model, LengthUnit.MM, report=lambda stage, share: None)


def _judge(recording: Recording, *, is_mirrored: bool) -> Judge:
    mesh = mirrored_mesh(recording.mesh) if is_mirrored else recording.mesh
    path, number = recording.model.parent / MODELS_INFO, int(recording.model.stem.rpartition("_")[2])
    info = read_models_info(path).get(number) if path.is_file() else None
    if info is None:
        return Judge(mesh, diameter(mesh.vertices), is_symmetric=False)
    is_symmetric = bool(info.symmetries_discrete or info.symmetries_continuous)
    return Judge(mesh, info.diameter_m, is_symmetric=is_symmetric)


def good_frames(path: Path) -> frozenset[int] | None:
    """Images whose estimated label is of class A or B; None where no file gives classes."""
    file = path / "pose_quality.json"
    if not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    entries = content.get("frames", content)
    return frozenset(int(n) for n, e in entries.items() if n.isdecimal() and e.get("quality", "A") in GOOD)


def truths_of(shots: Iterable[Shot], good: frozenset[int] | None) -> dict[int, Truth]:
    """What is known of every image; its first label counts."""
    return {
        shot.frame.index: Truth(
            T_cam_obj=shot.labels[0].T_cam_obj if shot.labels else None,
            is_judged=good is None or shot.frame.index in good,
        )
        for shot in shots
    }


def summarised(rows: list[Row]) -> dict[str, Any]:
    """Per start: how many copies have the verdict of the scene as it is, by change, and all verdicts by scene."""
    summary: dict[str, Any] = {}
    for init in dict.fromkeys(row.init for row in rows):
        mine = [row for row in rows if row.init == init]
        as_it_is = {row.scene: row.verdict for row in mine if row.change == Change.NONE.value}
        copies = [row for row in mine if row.change != Change.NONE.value]
        same = [row for row in copies if row.verdict == as_it_is[row.scene]]
        verdicts: dict[str, dict[str, str]] = {}
        for row in mine:
            verdicts.setdefault(row.scene, {})[row.change] = row.verdict
        summary[init] = {
            "scenes_right": sum(verdict == Verdict.RIGHT.value for verdict in as_it_is.values()),
            "scenes": len(as_it_is),
            "copies": len(copies),
            "same_verdict": len(same),
            "same_verdict_share": round(len(same) / len(copies), 3) if copies else None,
            "same_by_change": {
                change: [sum(r.change == change for r in same), sum(r.change == change for r in copies)]
                for change in dict.fromkeys(row.change for row in copies)
            },
            "verdicts": verdicts,
        }
    return summary


@dataclass(frozen=True, kw_only=True)
class MildChangesOptions(NetworkOptions):
    """Which recordings, changed how."""

    real: Annotated[Path, typer.Option(help="Folder of real scenes.", show_default=False)]
    scenes: Annotated[str | None, typer.Option(help="Names of scenes, with commas; all without.")] = None
    init: Annotated[str, typer.Option(help="What gives the first pose, with commas.")] = "mask,auto"
    changes: Annotated[str | None, typer.Option(help="Changes, with commas; all without.")] = None
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1


@case(record="mild_changes")
def mild_changes(options: MildChangesOptions) -> Outcome:
    """Follow each scene as it is and in its copies, and compare the verdicts; bundle `none` is geometry alone."""
    tasks = tasks_of(options)
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, len(tasks))) as pool:
        done = list(track(pool.imap(run_scene, tasks), "scenes", total=len(tasks)))
    rows = [row for part in done for row in part]
    summary = summarised(rows)
    for init, figures in summary.items():
        changes = [change.value for change in (Change.NONE, *tasks[0].changes)]
        table = Table("scene", *changes, title=f"init {init}: {figures['same_verdict']} of {figures['copies']} same")
        for scene, verdicts in figures["verdicts"].items():
            table.add_row(scene, *(verdicts.get(change, "-") for change in changes))
        Console().print(table)
    return Outcome(summary={"bundle": options.bundle, **summary}, rows=[asdict(row) for row in rows])


def tasks_of(options: MildChangesOptions) -> list[Task]:
    """A task per scene.

    Raises:
        SceneError: The folder has no scene.
        ConfigError: A name that is none of a scene, a start or a change.
    """
    paths = {path.name: path for path in scene_paths(options.real)}
    others = {change.value: change for change in Change if change is not Change.NONE}
    scenes = _named("--scenes", options.scenes, paths)
    inits = _named("--init", options.init, {init.value: init for init in STARTS})
    changes = _named("--changes", options.changes, others)
    return [Task(path=path, inits=tuple(inits), changes=tuple(changes), networks=options.bundle) for path in scenes]


def _named(option: str, text: str | None, known: dict[str, Any]) -> list[Any]:
    names = list(known) if text is None else text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            mismatch(option, repr(unknown[0]), f"some of {', '.join(known)}", "name these, with commas")
        )
    return [known[name] for name in names]
