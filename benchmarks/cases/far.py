"""How far away is an object still found, followed and believed, and is a wrong pose doubted there?

    python -m benchmarks run far [--objects 7] [--bundle nano | none] [--distances 0.5,3] [--jobs 2]

Recordings from 0.5 to 3 m that differ in nothing but the distance (`storm_edge.synthetic.far_scenes`). Each is begun
from the first mask; still ones are also searched for the object, there and absent, and begun at poses that are wrong:
half a width aside, laid on its side, and on a neighbour of the same size. A pose is right where its ADD-S is below a
tenth of the diameter; frames in which less than half of the object is visible are not counted. "Wrong" counts every
frame with a wrong pose, of whatever start.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.registry import NetworkOptions, Outcome, case
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import MaskError
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.geometry.viewsphere import reduce_by_symmetry, rotation_grid
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Initialize, Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ModelSource, ObjectBundle
from storm_edge.objects.viewpoints import build_viewpoints
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.synthetic.far_scenes import DISTANCES_M, FOCAL_PX, WANTED, FarKind, FarScene, far_scene
from storm_edge.synthetic.objects import SyntheticObject
from storm_edge.synthetic.scene_renderer import LabelledFrame, SceneRenderer

MAX_ERROR_SHARE = 0.1
MIN_VISIBLE = 0.5
FRAMES = 24
SEARCHED_FRAMES = 4
"""Frames within which the object is to be found."""
WRONG_FRAMES = 8
"""Frames that a wrong start is followed."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the loop said of one frame."""

    state: str
    error_share: float | None
    """ADD-S over the diameter; None without a pose."""
    confidence: float
    is_visible: bool
    """Whether at least half of the object is."""

    @property
    def is_right(self) -> bool:
        """Whether there is a pose near the truth."""
        return self.error_share is not None and self.error_share < MAX_ERROR_SHARE

    @property
    def is_wrong(self) -> bool:
        """Whether there is a pose elsewhere."""
        return self.error_share is not None and not self.is_right

    @property
    def is_believed(self) -> bool:
        """Whether the loop says that it follows the object."""
        return self.state == TrackState.TRACKING.value


@dataclass(frozen=True, kw_only=True)
class Run:
    """One recording, begun in one way."""

    number: int
    distance_m: float
    kind: str
    start: str
    seen: tuple[Seen, ...]


def onboarded(item: SyntheticObject, number: int) -> ObjectBundle:
    """Onboard an object from memory, with the sparse views of 162 directions instead of 642."""
    return ObjectBundle(
        object_id=f"object_{number}",
        mesh=item.mesh,
        mesh_lod=item.mesh,
        diameter_m=item.diameter_m,
        T_obj_centre=np.eye(4),
        symmetries=item.symmetries,
        rotation_grid=reduce_by_symmetry(rotation_grid(), item.symmetries),
        viewpoints=build_viewpoints(item.mesh, subdivisions=2),
        source=ModelSource(name=f"seed {item.seed}", sha256=f"{item.seed:064x}", unit="m"),
    )


def wrong_poses(scene: FarScene) -> dict[str, np.ndarray]:
    """Poses of the first frame that are not the object's, ``T_cam_obj (4, 4)``, by name."""
    T = scene.script.T_cam_obj(0)
    shifted = T.copy()
    shifted[0, 3] += 0.5 * scene.item.diameter_m
    turned = T @ make_T(exp_so3([0.5 * np.pi, 0.0, 0.0]), [0.0, 0.0, 0.0])
    beside = T.copy()
    beside[:3, 3] = scene.T_cam_neighbour[:3, 3]
    return {"shifted": shifted, "turned": turned, "neighbour": beside}


class FarPlayer:
    """Runs the loop over the recordings of one object.

    Args:
        number: Which object.
        networks: The network bundle, or None.
    """

    def __init__(self, number: int, networks: NetworkBundle | None) -> None:
        self._number, self._networks = number, networks
        item = far_scene(number, DISTANCES_M[0], FarKind.STILL).item
        self._bundle = onboarded(item, number)
        self._model = ModelPoints(item.mesh.vertices, item.symmetries)

    def runs(self, distance_m: float) -> Iterator[Run]:
        """All runs at a distance."""
        for kind in FarKind:
            scene = far_scene(self._number, distance_m, kind, frame_count=FRAMES)
            renderer = SceneRenderer(scene.script)
            if kind is FarKind.ABSENT:
                few = [renderer.render_frame(i) for i in range(SEARCHED_FRAMES)]
                yield self._run(distance_m, kind, "auto", few, None)
                continue
            frames = list(renderer)
            yield self._run(distance_m, kind, "mask", frames, _from_mask(frames[0].mask_visib))
            if kind is FarKind.STILL:
                yield self._run(distance_m, kind, "auto", frames[:SEARCHED_FRAMES], None)
                for name, T in wrong_poses(scene).items():
                    yield self._run(distance_m, kind, name, frames[:WRONG_FRAMES], _from_pose(T))

    def _run(
        self,
        distance_m: float,
        kind: FarKind,
        start: str,
        frames: list[LabelledFrame],
        initialize: Initialize | None,
    ) -> Run:
        seen: list[Seen] = []
        with Session(make_object_sessions([self._bundle], self._networks)) as session:
            for item in frames:
                try:
                    result = session.step(item.frame, initialize=None if seen else initialize)
                except MaskError:
                    break
                seen += [self._seen(track, item) for track in result.tracks]
        return Run(number=self._number, distance_m=distance_m, kind=kind.value, start=start, seen=tuple(seen))

    def _seen(self, track: Track, item: LabelledFrame) -> Seen:
        error = None
        if track.T_cam_obj is not None:
            error = round(self._model.add_s(item.T_cam_obj, track.T_cam_obj) / self._bundle.diameter_m, 3)
        return Seen(
            state=track.state.value,
            error_share=error,
            confidence=round(track.confidence, 3),
            is_visible=bool(item.mask_visib.any()) and item.visible_share >= MIN_VISIBLE,
        )


def run_object(task: tuple[int, tuple[float, ...], str]) -> list[Run]:
    """All runs of an object: its number, the distances [m], and the network bundle's name or `none`."""
    number, distances, bundle = task
    player = FarPlayer(number, None if bundle == "none" else NetworkBundle.load(bundle))
    return [run for distance_m in distances for run in player.runs(distance_m)]


def _from_mask(mask: np.ndarray) -> Initialize:
    def begin(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track:
        return item.register(frame, buffers, mask)

    return begin


def _from_pose(T_cam_obj: np.ndarray) -> Initialize:
    def begin(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track:
        return item.start(frame, buffers, T_cam_obj)

    return begin


def share(values: Iterable[bool]) -> float | None:
    """Share of true values; None of none."""
    found = list(values)
    return round(sum(found) / len(found), 3) if found else None


def summarised(runs: list[Run]) -> dict[str, Any]:
    """The figures of one distance."""
    tracked = [s for run in runs if run.start == "mask" for s in run.seen if s.is_visible]
    searched = [run for run in runs if run.start == "auto" and run.kind != FarKind.ABSENT.value]
    absent = [s for run in runs if run.kind == FarKind.ABSENT.value for s in run.seen]
    right = [s for run in runs for s in run.seen if s.is_visible and s.is_right]
    wrong = [s for run in runs if run.kind != FarKind.ABSENT.value for s in run.seen if s.is_wrong]
    by_start = {
        start: share(s.is_believed for run in runs if run.start == start for s in run.seen if s.is_wrong)
        for start in ("mask", "shifted", "turned", "neighbour")
    }
    return {
        "width_px": round(
            float(np.mean([FOCAL_PX * WANTED[run.number % len(WANTED)][2] / run.distance_m for run in runs]))
        ),
        "right": share(s.is_right for s in tracked),
        "believed_of_right": share(s.is_believed for s in right),
        "wrong_frames": len(wrong),
        "believed_of_wrong": share(s.is_believed for s in wrong),
        "believed_of_wrong_by_start": by_start,
        "found": sum(any(s.is_right and s.is_believed for s in run.seen) for run in searched),
        "searched": len(searched),
        "false": sum(any(s.is_wrong and s.is_believed for s in run.seen) for run in searched)
        + sum(s.is_believed for s in absent),
    }


@dataclass(frozen=True, kw_only=True)
class FarOptions(NetworkOptions):
    """Which recordings."""

    objects: Annotated[int, typer.Option(help="How many objects.")] = len(WANTED)
    distances: Annotated[str, typer.Option(help="Distances [m], with commas.")] = ",".join(map(str, DISTANCES_M))
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2


@case(record="far")
def far(options: FarOptions) -> Outcome:
    """Run the loop over the recordings and compare with the truth; bundle `none` is geometry alone."""
    distances = [float(text) for text in options.distances.split(",")]
    tasks = [(number, tuple(distances), options.bundle) for number in range(options.objects)]
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, options.objects)) as pool:
        done = list(track(pool.imap(run_object, tasks), "objects", total=len(tasks)))
    runs = [run for part in done for run in part]
    table = Table("distance [m]", "width [px]", "right", "believed\nof right", "believed\nof wrong", "found", "false")
    summary: dict[str, Any] = {"bundle": options.bundle, "objects": options.objects, "distances": {}}
    for distance_m in distances:
        figures = summarised([run for run in runs if run.distance_m == distance_m])
        summary["distances"][f"{distance_m:g}"] = figures
        table.add_row(
            f"{distance_m:g}",
            f"{figures['width_px']}",
            f"{figures['right']}",
            f"{figures['believed_of_right']}",
            f"{figures['believed_of_wrong']} of {figures['wrong_frames']}",
            f"{figures['found']} of {figures['searched']}",
            f"{figures['false']}",
        )
    Console().print(table)
    return Outcome(summary=summary, rows=[asdict(run) for run in runs])
