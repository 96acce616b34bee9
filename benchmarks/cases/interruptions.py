"""What a session tells of a mug while its camera stalls, starts anew and misses frames, and its networks answer NaN.

    python -m benchmarks run interruptions [--steps 20000] [--frames 75] [--seed 1] [--bundle nano]

The pictures and the objects are those of ``soak``: the scene of `storm-edge demo`, played to and fro, with exact
poses; with ``--frames 150`` the mug is hidden once each way. Every 2 to 9 s something happens at random, and the mug
is elsewhere after it: the camera is silent for 3 s, it begins anew at the first picture, up to eleven frames are
missing, or all networks answer NaN for 2 s. Frames come as fast as they are worked on, but at 30 Hz while there is no
pose, since a search runs beside them. A pose that is told as TRACKING is wrong where its ADD is above a tenth of the
diameter. Where the soak asks whether a service lives on, this asks many times more often what it says meanwhile.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.registry import NetworkOptions, Outcome, case
from benchmarks.soak.pictures import DEPTH, DEPTH_UNIT_M, RGB, K
from benchmarks.soak.service import FAILING, FailingBundle
from benchmarks.soak.stage import OBJECT, RATE_HZ, WRONG_FROM, Stage, make_stage
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.live import open_session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.pacing import ping_pong_index
from storm_edge.service.profile_sections import read_service_profile

CALM_FRAMES = 300
"""Before the first interruption; the object is found meanwhile."""
APART_FRAMES = (60, 260)
"""Frames from one interruption to the next."""
STALL_S = 3.0
RESTART_S = (0.1, 0.4)
MISSING_FRAMES = (2, 11)
NAN_FRAMES = 60
PERIOD_NS = round(1e9 / RATE_HZ)
PACED_FRAMES = 30
"""So many frames after a pose was found they still come at 30 Hz: the search's thread may be at something else."""


@dataclass(frozen=True, kw_only=True)
class InterruptionsOptions(NetworkOptions):
    """How long, over what, and which chances."""

    steps: Annotated[int, typer.Option(min=CALM_FRAMES, help="Frames in all.")] = 20_000
    frames: Annotated[int, typer.Option(min=30, max=150, help="Pictures that are played to and fro.")] = 75
    seed: Annotated[int, typer.Option(help="Of what happens when.")] = 1


@dataclass
class Told:
    """What was told."""

    states: Counter[str] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    """Of poses told as TRACKING, ADD over the diameter."""
    right_suspects: int = 0
    """Poses that were right and told as SUSPECT."""

    def add(self, track: Track, *, step: int, place: int, error: float | None, last: tuple[int, str] | None) -> None:
        """One frame's report; ``last`` is the newest interruption."""
        self.states[track.state.value] += 1
        if error is None:
            return
        if track.state is TrackState.TRACKING:
            self.errors.append(error)
            if error > WRONG_FROM:
                since, what = (None, None) if last is None else (step - last[0], last[1])
                row = {"place": place, "error": round(error, 3), "confidence": round(track.confidence, 3)}
                self.wrong.append({"step": step, **row, "after": what, "frames_after": since})
        elif error <= WRONG_FROM:
            self.right_suspects += 1


@case(record="interruptions")
def interruptions(options: InterruptionsOptions) -> Outcome:
    """Play, interrupt, and hold what is told against the truth."""
    told, happened = Told(), Counter[str]()
    bundle = FailingBundle(**vars(NetworkBundle.load(options.bundle)))
    with tempfile.TemporaryDirectory() as temporary:
        stage = make_stage(Path(temporary) / "stage", options.frames)
        config = read_service_profile(stage.folder / "profile.yaml").machine.config
        item = ObjectBundle.load(stage.folder / "objects" / OBJECT)
        with open_session([item], bundle, config=config, background=True) as session:
            last: tuple[int, str] | None = None
            paced_until = 0
            for step, (what, frame) in enumerate(_frames(stage, options)):
                if what is not None:
                    happened[what] += 1
                    last = step, what
                began_s = time.monotonic()
                (track,) = session.step(frame, next_due_s=began_s + 1.0 / RATE_HZ).tracks
                pose = track.T_cam_obj
                error = None if pose is None else stage.error(frame.index, pose)
                place = ping_pong_index(frame.index, options.frames)
                told.add(track, step=step, place=place, error=error, last=last)
                paced_until = step + PACED_FRAMES if pose is None else paced_until
                if step < paced_until:
                    time.sleep(max(began_s + 1.0 / RATE_HZ - time.monotonic(), 0.0))
    FAILING.is_on = False
    summary = _summary(told, happened, options)
    for name, value in summary.items():
        print(f"{name:<28} {value}")
    return Outcome(summary=summary, rows=told.wrong)


def _frames(stage: Stage, options: InterruptionsOptions) -> Iterator[tuple[str | None, Frame]]:
    """Frames with what happened before each; their index is the camera's number, whose place has a true pose."""
    colours, depths, K_px = _pictures(stage)
    chance = random.Random(options.seed)
    number, stamp_ns, nan_until, due = -1, time.time_ns(), 0, CALM_FRAMES
    for step in range(options.steps):
        what = None
        if step == due:
            due += chance.randint(*APART_FRAMES)
            what = chance.choice(["camera silent", "camera anew", "frames missing", "NaN from networks"])
            if what == "camera silent":
                number, stamp_ns = number + round(STALL_S * RATE_HZ), stamp_ns + round(STALL_S * 1e9)
            elif what == "camera anew":
                number, stamp_ns = -1, stamp_ns + round(chance.uniform(*RESTART_S) * 1e9)
            elif what == "frames missing":
                missing = chance.randint(*MISSING_FRAMES)
                number, stamp_ns = number + missing, stamp_ns + missing * PERIOD_NS
            else:
                nan_until = step + NAN_FRAMES
        FAILING.is_on = step < nan_until
        number, stamp_ns = number + 1, stamp_ns + PERIOD_NS
        place = ping_pong_index(number, len(colours))
        depth_m = depths[place].astype(np.float32) * np.float32(DEPTH_UNIT_M)
        yield what, Frame(rgb=colours[place], depth_m=depth_m, K=K_px, stamp_ns=stamp_ns, index=number)


def _pictures(stage: Stage) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float64]]:
    return np.load(stage.camera / RGB), np.load(stage.camera / DEPTH), np.load(stage.camera / K)


def _summary(told: Told, happened: Counter[str], options: InterruptionsOptions) -> dict[str, Any]:
    errors = np.array(told.errors or [np.nan])
    return {
        "bundle": options.bundle,
        "frames": sum(told.states.values()),
        "pictures": options.frames,
        "interruptions": dict(happened),
        "states": dict(told.states),
        "wrong_poses_told": len(told.wrong),
        "error_of_diameter": {name: round(float(np.percentile(errors, q)), 4) for name, q in PERCENTILES.items()},
        "right_poses_suspect": told.right_suspects,
        "wrong": told.wrong[:8],
    }


PERCENTILES = {"p50": 50.0, "p99": 99.0, "max": 100.0}
