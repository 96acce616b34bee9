"""Does the loop notice that it lost the object, and find it again? Held-out recordings with a full occlusion.

    python -m benchmarks run recovery SETS [--count 20] [--first 0] [--bundle none] [--tracker resident] [--rate HZ]
        [--jobs 2]

writes ``SETS/recovery/000000 ...`` (kept for the next run), starts each at the first mask and lets the loop run to
the end. A board hides the object for 10 to 40 frames while it moves on to another place and another side. The words
of the report are those of `storm_edge.evaluate.recovery`; the record is ``records/recovery.json``.

With ``--rate`` the recordings are played as a camera would, one at a time: frames come when they are due, whether or
not the loop is ready, and searches run beside it on a second core for as long as they take. Without it frames wait
for the loop, which does the same amount of searching in each, so that the answer does not depend on the machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.common import write_record
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
from storm_edge.objects.onboard import onboard
from storm_edge.replay.follow import follow
from storm_edge.replay.pacing import Pacer
from storm_edge.synthetic.occlusions import recovery_sequence
from storm_edge.synthetic.scenes import write_scene

FIRST_SEED = 20_000
_LETTER = {"TRACKING": "T", "SUSPECT": "S", "LOST": "L", "SEARCHING": ".", "REGISTERING": "r"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A recording, and how the loop runs over it."""

    path: Path
    seed: int
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
    path = task.path
    if not path.is_dir():
        write_scene(path, recovery_sequence(task.seed).script)
    bundle = onboarded(path)
    T = bundle.T_obj_centre
    model = ModelPoints(transform(T, bundle.mesh_lod.vertices), T @ bundle.symmetries @ invert(T))
    try:
        scene, found = _followed(task, bundle)
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


def _followed(task: Task, bundle: ObjectBundle) -> tuple[BopScene, dict[int, Track]]:
    """What the loop said of every frame that it was given; one that was passed over is missing."""
    networks = None if task.bundle == "none" else NetworkBundle.load(task.bundle)
    config = StormConfig(loop=SessionConfig(tracker=task.tracker))
    with ExitStack() as stack:
        lane, pacer, scene = None, None, BopScene(task.path)
        if task.rate_hz is not None:
            scene = InMemory(task.path)
            lane, pacer = stack.enter_context(BackgroundLane()), Pacer(task.rate_hz, count=len(scene))
        loop = Session(make_object_sessions([bundle], networks, config=config, lane=lane), lane=lane)
        return scene, {frame.index: track for frame, (track,) in follow(scene, loop, init=Init.MASK, pacer=pacer)}


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
    parser.add_argument("--rate", type=float, default=None, help="play the recordings at this rate [Hz]")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--name", default="recovery")
    options = parser.parse_args()

    folder = options.sets / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(options.first, options.first + options.count)
    tasks = [
        Task(
            path=folder / f"{i:06d}",
            seed=FIRST_SEED + i,
            bundle=options.bundle,
            tracker=TrackerKind(options.tracker),
            rate_hz=options.rate,
        )
        for i in numbers
    ]
    jobs = min(options.jobs, options.count) if options.rate is None else 1
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        done = list(track(pool.imap(run_one, tasks), "recordings", total=len(tasks)))
    sequences = [records for records in done if records is not None]
    for task, records in zip(tasks, done, strict=True):
        said = "no depth to start from" if records is None else report_recovery([records]).sentence()
        print(f"{task.path.name}: {said}\n{picture(records or [])}")
    report = report_recovery(sequences)
    print(f"\nall: {report.sentence()}")
    first_seed = FIRST_SEED + options.first
    write_record(
        options.name,
        {
            "bundle": options.bundle,
            "tracker": options.tracker,
            "rate_hz": options.rate,
            "first_seed": first_seed,
            "without_depth": done.count(None),
            "report": asdict(report),
        },
    )


if __name__ == "__main__":
    main()
