"""Does the loop know the side of an object? Tracks begun at a pose turned about the object's own near-symmetry.

    python -m benchmarks run side SETS --real DATA [--count 6] [--scenes cup,ycb_mug] [--jobs 1]

Real scenes begin where somebody gave a mask, at most `STARTS` of a recording; a single image is shown again and
again. Synthetic sequences (val seeds that nothing was fitted to) are made in ``SETS/side`` and begin at their first
image. Each start is followed for `FRAMES` images with the side asked for and without. A pose is wrong from an ADD of
0.1 diameters on, after the declared symmetries; it counts where the loop says TRACKING at the last image, and calls
nothing ambiguous. Turns after which the pose is right anyhow are left out.

A recording is also followed from its first label as it is, backwards, and at every second and third image.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cases.mild_changes import good_frames
from benchmarks.mild.copies import Recording, read_recording, scene_paths
from benchmarks.registry import Outcome, SetOptions, case
from storm_edge.choices import LengthUnit
from storm_edge.cli.inputs import make_object
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert, transform
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.near_symmetry import turns_about
from storm_edge.synthetic.scene_renderer import write_scene
from storm_edge.synthetic.scenes import evaluation_sequences
from storm_edge.synthetic.splits import SEQUENCES_VAL_BUNDLE

Float64 = NDArray[np.float64]

TURNS_DEG = (0, 20, -20, 30, -30, 90, -90, 180)
FRAMES = 13
"""Of a start: the first, and twelve that are tracked."""
SOON = 10
"""Tracked images within which a turned start is to be right."""
STARTS = 4
"""Of a recording."""
WRONG_FROM = 0.1
"""ADD over the diameter."""
FIRST_SYNTHETIC = 200
"""Of `SEQUENCES_VAL_BUNDLE`: the weights of the evidence were fitted to recordings 100 to 111."""
ORDERS = ("forwards", "backwards", "every second", "every third")


@dataclass(frozen=True, kw_only=True)
class Start:
    """How one turned start went."""

    scene: str
    kind: str
    """Real or synthetic."""
    first: int
    """Image that it began at."""
    turn_deg: int
    enabled: bool
    """Whether the side was asked for."""
    error: float | None
    """ADD over the diameter at the end; None without a pose."""
    state: str
    """At the end."""
    told: bool
    """Whether something was called ambiguous at the end."""
    right_at: int | None
    """Tracked image from which on every pose was right."""
    suspect: int
    """Images that were suspect."""

    @property
    def is_wrong(self) -> bool:
        """Whether a wrong pose is claimed."""
        is_claimed = self.state == TrackState.TRACKING.value and self.error is not None
        return is_claimed and (self.error or 0.0) >= WRONG_FROM and not self.told

    @property
    def is_soon(self) -> bool:
        """Whether it was right in time."""
        return self.right_at is not None and self.right_at <= SOON


@dataclass(frozen=True, kw_only=True)
class Order:
    """A recording followed in another order."""

    scene: str
    order: str
    enabled: bool
    judged: int
    right: int
    """Of the judged images, ADD below a tenth of the diameter."""
    wrong: int
    """Of the judged images, TRACKING and not right."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A scene."""

    path: Path
    kind: str
    networks: str


def run_scene(task: Task) -> tuple[list[Start], list[Order]]:
    """All starts and orders of a scene."""
    networks = None if task.networks == "none" else NetworkBundle.load(task.networks)
    recording, good = read_recording(task.path), good_frames(task.path)
    bundle = make_object(recording.model, LengthUnit.MM, report=lambda stage, share: None)
    starts = [
        found
        for first in starts_of(recording)
        for turn_deg in TURNS_DEG
        for enabled in (False, True)
        if (found := _start(task, recording, bundle, networks, first, turn_deg, enabled)) is not None
    ]
    orders = []
    if task.kind == "real" and len(recording.shots) > FRAMES:
        orders = [_order(recording, good, bundle, networks, o, e) for o in ORDERS for e in (False, True)]
    return starts, orders


def starts_of(recording: Recording) -> list[int]:
    """Images to begin at: with a mask, and far enough from the end, spread over the recording."""
    shots = recording.shots
    last = max(len(shots) - FRAMES, 0)
    marked = [index for index in range(last + 1) if shots[index].masks]
    places = np.linspace(0, len(marked) - 1, min(STARTS, len(marked)))
    return sorted({marked[int(place)] for place in np.rint(places)})


def turned_start(bundle: ObjectBundle, T_cam_obj: Float64, turn_deg: float) -> Float64:
    """A pose ``(4, 4)`` turned about the axis that keeps most of the object's surface."""
    near = bundle.near_symmetries
    turn = turns_about(near.directions[0], near.points_m[0], 360)[round(turn_deg) % 360]
    return np.asarray(T_cam_obj @ bundle.T_obj_centre @ turn @ invert(bundle.T_obj_centre))


def images(recording: Recording, places: Sequence[int]) -> list[Frame]:
    """Images in this order, as a camera of 30 Hz would give them."""
    chosen = [recording.shots[place].frame for place in places]
    return [replace(frame, index=i, stamp_ns=i * 33_333_333) for i, frame in enumerate(chosen)]


def _points(bundle: ObjectBundle) -> ModelPoints:
    T = bundle.T_obj_centre
    return ModelPoints(transform(T, bundle.mesh_lod.vertices), T @ bundle.symmetries @ invert(T))


def _followed(
    frames: Sequence[Frame], bundle: ObjectBundle, networks: NetworkBundle | None, T_cam_obj: Float64, enabled: bool
) -> list[Track]:
    config = StormConfig()
    config = replace(config, side=replace(config.side, enabled=enabled))
    with Session(make_object_sessions([bundle], networks, config=config), config=config) as session:
        found: list[Track] = []
        for frame in frames:
            begin = None if found else lambda item, first, buffers: item.start(first, buffers, T_cam_obj)
            found.append(session.step(frame, initialize=begin).tracks[0])
        return found


def _start(
    task: Task,
    recording: Recording,
    bundle: ObjectBundle,
    networks: NetworkBundle | None,
    first: int,
    turn_deg: int,
    enabled: bool,
) -> Start | None:
    """One start; None where its pose is right though it is turned."""
    places = [min(first + i, len(recording.shots) - 1) for i in range(FRAMES)]
    truths = [recording.shots[place].labels[0].T_cam_obj for place in places if recording.shots[place].labels]
    points, begin = _points(bundle), turned_start(bundle, truths[0], turn_deg)
    if turn_deg and points.add_symmetric(truths[0], begin) < 0.5 * WRONG_FROM * bundle.diameter_m:
        return None
    tracks = _followed(images(recording, places), bundle, networks, begin, enabled)
    errors = [
        None if found.T_cam_obj is None else points.add_symmetric(truth, found.T_cam_obj) / bundle.diameter_m
        for truth, found in zip(truths, tracks, strict=True)
    ]
    wrong = [i for i, error in enumerate(errors) if error is None or error >= WRONG_FROM]
    right_at = wrong[-1] + 1 if wrong else 0
    return Start(
        scene=recording.name,
        kind=task.kind,
        first=first,
        turn_deg=turn_deg,
        enabled=enabled,
        error=None if errors[-1] is None else round(float(errors[-1]), 3),
        state=tracks[-1].state.value,
        told=tracks[-1].ambiguous is not None,
        right_at=right_at if right_at < FRAMES else None,
        suspect=sum(found.state is TrackState.SUSPECT for found in tracks),
    )


def _order(
    recording: Recording,
    good: frozenset[int] | None,
    bundle: ObjectBundle,
    networks: NetworkBundle | None,
    order: str,
    enabled: bool,
) -> Order:
    count = len(recording.shots)
    order_of = {
        "forwards": range(count),
        "backwards": range(count - 1, -1, -1),
        "every second": range(0, count, 2),
        "every third": range(0, count, 3),
    }
    places = [place for place in order_of[order] if recording.shots[place].labels]
    shots = [recording.shots[place] for place in places]
    begin = shots[0].labels[0].T_cam_obj
    tracks = _followed(images(recording, places), bundle, networks, begin, enabled)
    points, judged, right, wrong = _points(bundle), 0, 0, 0
    for shot, found in zip(shots, tracks, strict=True):
        if good is not None and shot.frame.index not in good:
            continue
        judged += 1
        truth = shot.labels[0].T_cam_obj
        is_right = (
            found.T_cam_obj is not None
            and points.add_symmetric(truth, found.T_cam_obj) < WRONG_FROM * bundle.diameter_m
        )
        right += is_right
        wrong += found.state is TrackState.TRACKING and not is_right
    return Order(scene=recording.name, order=order, enabled=enabled, judged=judged, right=right, wrong=wrong)


def summarised(starts: Sequence[Start], orders: Sequence[Order]) -> dict[str, Any]:
    """Counts by kind of scene, turn either way, and whether the side was asked for."""
    summary: dict[str, Any] = {}
    for kind in dict.fromkeys(start.kind for start in starts):
        rows: dict[str, Any] = {}
        for turn in sorted({abs(turn_deg) for turn_deg in TURNS_DEG}):
            mine = [start for start in starts if start.kind == kind and abs(start.turn_deg) == turn]
            rows[str(turn)] = {
                name: _counts([start for start in mine if start.enabled is enabled])
                for name, enabled in (("without", False), ("asked", True))
            }
        summary[kind] = rows
    wrong = [start for start in starts if start.enabled and start.is_wrong]
    summary["wrong_at_the_end"] = [f"{s.scene} {s.first} {s.turn_deg}: {s.error}" for s in wrong]
    summary["orders"] = {
        f"{o.scene} {o.order}, {'asked' if o.enabled else 'without'}": [o.right, o.judged, o.wrong] for o in orders
    }
    return summary


def _counts(starts: Sequence[Start]) -> dict[str, int]:
    return {
        "starts": len(starts),
        "wrong_and_tracking": sum(start.is_wrong for start in starts),
        "right_within_10": sum(start.is_soon for start in starts),
        "told_ambiguous": sum(start.told for start in starts),
        "without_pose": sum(start.error is None for start in starts),
        "with_suspect_images": sum(start.suspect > 0 for start in starts),
    }


@dataclass(frozen=True, kw_only=True)
class SideOptions(SetOptions):
    """Which scenes."""

    real: Annotated[Path | None, typer.Option(help="Folder of real scenes.")] = None
    scenes: Annotated[str | None, typer.Option(help="Names of real scenes, with commas; all without.")] = None
    count: Annotated[int, typer.Option(help="How many synthetic sequences.")] = 6
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1


@case(record="side")
def side(options: SideOptions) -> Outcome:
    """Begin tracks at turned poses, and count what is wrong, corrected and told; bundle `none` is geometry alone."""
    tasks = tasks_of(options)
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, len(tasks))) as pool:
        done = list(track(pool.imap(run_scene, tasks), "scenes", total=len(tasks)))
    starts, orders = [s for part, _ in done for s in part], [o for _, part in done for o in part]
    summary = summarised(starts, orders)
    for kind in dict.fromkeys(start.kind for start in starts):
        table = Table("turn", "", *next(iter(summary[kind].values()))["asked"], title=f"{kind} scenes")
        for turn, found in summary[kind].items():
            for name, counts in found.items():
                table.add_row(turn, name, *map(str, counts.values()))
        Console(width=150).print(table)
    Console(width=150).print(summary["wrong_at_the_end"], summary["orders"])
    rows = [asdict(start) for start in starts] + [asdict(order) for order in orders]
    return Outcome(summary={"bundle": options.bundle, **summary}, rows=rows)


def tasks_of(options: SideOptions) -> list[Task]:
    """A task per scene; synthetic ones are written where they are missing."""
    names = None if options.scenes is None else options.scenes.split(",")
    real = [] if options.real is None else scene_paths(options.real)
    tasks = [
        Task(path=path, kind="real", networks=options.bundle) for path in real if names is None or path.name in names
    ]
    for number in range(options.count):
        path = options.sets / "side" / f"{number:06d}"
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = SEQUENCES_VAL_BUNDLE.seed(FIRST_SYNTHETIC + number)
            write_scene(path, next(evaluation_sequences(1, FRAMES, seed)))
        tasks.append(Task(path=path, kind="synthetic", networks=options.bundle))
    return tasks
