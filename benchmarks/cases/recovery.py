"""Does the loop notice that it lost the object, and find it again? Held-out recordings with a full occlusion.

    python -m benchmarks run recovery SETS [--count 20] [--first 0] [--bundle none] [--tracker batched] [--rate HZ]
        [--jobs 2]

writes ``SETS/recovery/000000 ...`` (kept for the next run), starts each at the first mask and lets the loop run to
the end. A board hides the object for 10 to 40 frames while it moves on to another place and another side. The words
of the report are those of `storm_edge.evaluate.recovery`.

With ``--rate`` the recordings are played as a camera would, one at a time: frames come when they are due, whether or
not the loop is ready, and searches run beside it on a second core for as long as they take. Without it frames wait
for the loop, which does the same amount of searching in each, so that the answer does not depend on the machine.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from benchmarks.recordings import FIRST_SEED, onboarded, recovery_scene
from benchmarks.registry import Outcome, RecordingOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init, TrackerKind
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import MaskError
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.evaluate.recovery import FrameRecord, report_recovery
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert, transform
from storm_edge.live.config import SessionConfig, StormConfig
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.follow import follow
from storm_edge.replay.pacing import Pacer

_LETTER = {"TRACKING": "T", "SUSPECT": "S", "LOST": "L", "SEARCHING": ".", "REGISTERING": "r"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A recording, and how the loop runs over it."""

    sets: Path
    number: int
    bundle: str
    tracker: TrackerKind
    rate_hz: float | None


class InMemory(BopScene):
    """A recording whose images are read once, before it is played: a camera need not decode its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._frames = {frame_id: super(InMemory, self).frame(frame_id) for frame_id in self.frame_ids}

    def frame(self, frame_id: int) -> Frame:
        """As read."""
        return self._frames[frame_id]


def run_one(task: Task) -> list[FrameRecord] | None:
    """Make a recording if it is not there, run the loop over it, and compare with the truth.

    None for an object that shows no depth in its first picture (glass, chrome): nothing can start there.
    """
    path = recovery_scene(task.sets, task.number)
    bundle = onboarded(path)
    T = bundle.T_obj_centre
    model = ModelPoints(transform(T, bundle.mesh_lod.vertices), T @ bundle.symmetries @ invert(T))
    try:
        scene, found = _followed(task, path, bundle)
    except MaskError:
        return None
    records: list[FrameRecord] = []
    for frame_id in scene.frame_ids:
        track = found.get(frame_id)
        error, state = np.inf, records[-1].state if records else TrackState.SEARCHING.value
        if track is not None:
            state = track.state.value
            if track.T_cam_obj is not None:
                error = model.add_s(scene.ground_truth(frame_id)[0].T_cam_obj, track.T_cam_obj) / bundle.diameter_m
        whole = int(scene.mask(frame_id).sum())
        seen = int(scene.mask_visib(frame_id).sum())
        records.append(FrameRecord(state=state, error_share=error, visible_share=seen / max(whole, 1)))
    return records


def run_all(tasks: Sequence[Task], jobs: int) -> list[list[FrameRecord] | None]:
    """`run_one` of each, in so many processes."""
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks))) as pool:
        return list(track(pool.imap(run_one, tasks), "recordings", total=len(tasks)))


def _followed(task: Task, path: Path, bundle: ObjectBundle) -> tuple[BopScene, dict[int, Track]]:
    """What the loop said of every frame that it was given; one that was passed over is missing."""
    networks = None if task.bundle == "none" else NetworkBundle.load(task.bundle)
    config = StormConfig(session=SessionConfig(tracker=task.tracker))
    with ExitStack() as stack:
        lane, pacer, scene = None, None, BopScene(path)
        if task.rate_hz is not None:
            scene = InMemory(path)
            lane, pacer = stack.enter_context(BackgroundLane()), Pacer(task.rate_hz, count=len(scene))
        loop = Session(make_object_sessions([bundle], networks, config=config, lane=lane), lane=lane)
        return scene, {frame.index: track for frame, (track,) in follow(scene, loop, init=Init.MASK, pacer=pacer)}


def timeline(records: list[FrameRecord]) -> str:
    """A letter per frame: the state, small where the pose is wrong; and below it how much is visible."""
    states = "".join(_LETTER[r.state].lower() if r.wrong else _LETTER[r.state] for r in records)
    shares = "".join("_" if r.hidden else "," if r.visible_share < 0.5 else "#" for r in records)
    return f"{states}\n{shares}"


@dataclass(frozen=True, kw_only=True)
class RecoveryOptions(RecordingOptions):
    """How the loop runs over the recordings."""

    tracker: Annotated[TrackerKind, typer.Option(help="How the object is followed.")] = TrackerKind.STEPWISE
    rate: Annotated[float | None, typer.Option(help="Play the recordings at this rate [Hz].")] = None
    jobs: Annotated[int, typer.Option(help="Processes; one where a rate is given.")] = 2


@case(record="recovery")
def recovery(options: RecoveryOptions) -> Outcome:
    """Run the loop over recordings with a loss and compare with the truth; bundle `none` is geometry alone."""
    tasks = [
        Task(
            sets=options.sets,
            number=options.first + i,
            bundle=options.bundle,
            tracker=options.tracker,
            rate_hz=options.rate,
        )
        for i in range(options.count)
    ]
    done = run_all(tasks, options.jobs if options.rate is None else 1)
    sequences = [records for records in done if records is not None]
    for task, records in zip(tasks, done, strict=True):
        said = "no depth to start from" if records is None else report_recovery([records]).sentence()
        print(f"{task.number:06d}: {said}\n{timeline(records or [])}")
    report = report_recovery(sequences)
    print(f"\nall: {report.sentence()}")
    summary = {
        "bundle": options.bundle,
        "tracker": options.tracker.value,
        "rate_hz": options.rate,
        "first_seed": FIRST_SEED + options.first,
        "without_depth": done.count(None),
        "report": asdict(report),
    }
    rows = [
        {"recording": task.number, "frame": index, **asdict(record)}
        for task, records in zip(tasks, done, strict=True)
        for index, record in enumerate(records or ())
    ]
    return Outcome(summary=summary, rows=rows)
