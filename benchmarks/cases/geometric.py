"""What geometric tracking reaches without any network, what each of its parts brings, and what it costs.

    python -m benchmarks run geometric [--real DATA] [--sequences 6]

``--real`` names the folder with the recording ``cup``: it is followed from its first labelled pose by the whole
method, by the method without each of its parts, backwards, and thinned to every second and third frame. Synthetic
synthetic sequences are followed likewise. Then the residual of right and wrong poses, and the time of a batch as
registration uses it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.timing import BOTH_TAILS, measure, spread
from storm_edge.bop.scene import BopScene
from storm_edge.evaluate.metrics import ModelPoints, auc, depth_residual_m, mask_iou, rotation_error_deg
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, diameter
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.objects.onboard import onboard
from storm_edge.objects.viewpoints import SparseViewpoints, build_viewpoints
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import GeometricConfig, GeometricStep
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.motion import motion_starts
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.scene_renderer import SceneRenderer
from storm_edge.synthetic.scene_script import MovingMesh
from storm_edge.synthetic.scenes import evaluation_scene, evaluation_sequences
from storm_edge.synthetic.splits import OBJECTS_DEV, SCENES_DEV

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording with its truth, in the centred frame."""

    frames: Sequence[Frame]
    """The images."""
    T_cam_centre: Float64
    """True poses, ``(F, 4, 4)``."""
    judged: NDArray[np.bool_]
    """Frames whose truth may be judged by, ``(F,)``."""
    masks: dict[int, NDArray[np.bool_]]
    """Visible object pixels of some frames."""
    mesh: Mesh
    """The model, centred."""
    viewpoints: SparseViewpoints
    """Its sparse views."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Poses and times of one pass over a recording."""

    order: list[int]
    """Frames in the order they were followed in."""
    T_cam_centre: Float64
    """Poses, in that order."""
    residuals: Float64
    """Residuals, in that order."""
    wall_ms: list[float]
    """Refinement and learning of all frames but the first."""
    cpu_ms: list[float]
    """The same in CPU time of this process."""


def without(config: GeometricConfig, **changes: float) -> GeometricConfig:
    """The configuration with fields of all its steps replaced."""

    def changed(steps: Sequence[GeometricStep]) -> tuple[GeometricStep, ...]:
        return tuple(dataclasses.replace(step, **changes) for step in steps)  # type: ignore[arg-type]

    names = ("small", "narrow", "spread", "gather", "finish", "polish")
    steps: dict[str, Any] = {name: changed(getattr(config, name)) for name in names}
    return dataclasses.replace(config, **steps)


FULL = GeometricConfig()
VARIANTS = {
    "all parts": FULL,
    "no depth": without(FULL, depth_deviation=1e6),
    "no contour": without(FULL, contour_px=1e6),
    "no texture": without(FULL, texture_deviation=0.0),
    "no wide search": dataclasses.replace(FULL, narrow_margin=1.0, probe_every=0),
    "no probes": dataclasses.replace(FULL, probe_every=0),
}
RECORDINGS = ("cup", "can", "synthetic")
CAN_VARIANTS = ("all parts", "no texture", "no wide search")


def follow(sequence: Recording, order: list[int], config: GeometricConfig) -> Run:
    """Start at the truth of the first frame in ``order`` and follow the rest."""
    refiner = GeometricRefiner(ViewpointBuffers.from_viewpoints(sequence.viewpoints), config=config)
    buffers = FrameBuffers(*sequence.frames[0].size_px)
    poses, residuals, wall, cpu = [], [], [], []
    pose = before = sequence.T_cam_centre[order[0]]
    for index in order:
        buffers.upload(sequence.frames[index])
        if index == order[0]:
            refiner.update_appearance(buffers, pose, forget=True)
        start, start_cpu = time.perf_counter(), time.process_time()
        result = refiner.refine(buffers, motion_starts(pose, before))
        before, pose = pose, result.T_cam_centre
        if result.trusted:
            refiner.update_appearance(buffers, pose)
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - start_cpu))
        poses.append(pose)
        residuals.append(result.residual)
    return Run(
        order=order, T_cam_centre=np.stack(poses), residuals=np.array(residuals), wall_ms=wall[1:], cpu_ms=cpu[1:]
    )


def scores(sequence: Recording, run: Run) -> dict[str, Any]:
    """Errors over judged frames, agreement with the masks, times."""
    points = ModelPoints(sequence.mesh.vertices[:: max(1, len(sequence.mesh.vertices) // 1000)])
    limit_m = 0.1 * diameter(sequence.mesh.vertices)
    truth = sequence.T_cam_centre[run.order]
    add = np.array([points.add(t, p) for t, p in zip(truth, run.T_cam_centre, strict=True)])
    add_s = np.array([points.add_s(t, p) for t, p in zip(truth, run.T_cam_centre, strict=True)])
    turn = np.array([rotation_error_deg(t, p) for t, p in zip(truth, run.T_cam_centre, strict=True)])
    judged = sequence.judged[run.order]
    overlap, depth = [], []
    for place, index in enumerate(run.order):
        if index in sequence.masks:
            frame, mask = sequence.frames[index], sequence.masks[index]
            picture = render(sequence.mesh, run.T_cam_centre[place], frame.K, frame.size_px)
            overlap.append(mask_iou(picture.mask[0] != 0, mask))
            depth.append(depth_residual_m(picture.depth[0], frame.depth_m, mask))
    return {
        "within_tenth_of_diameter": round(float((add[judged] < limit_m).mean()), 4),
        "add_median_mm": round(1e3 * float(np.median(add[judged])), 2),
        "add_s_median_mm": round(1e3 * float(np.median(add_s[judged])), 2),
        "add_worst_mm": round(1e3 * float(add[judged].max()), 2),
        "add_auc": round(auc(add[judged]), 2),
        "add_s_auc": round(auc(add_s[judged]), 2),
        "rotation_median_deg": round(float(np.median(turn[judged])), 2),
        "mask_iou_mean": round(float(np.mean(overlap)), 4) if overlap else None,
        "depth_residual_median_mm": round(1e3 * float(np.median(depth)), 2) if depth else None,
        "wall_ms": spread(run.wall_ms),
        "cpu_ms": spread(run.cpu_ms),
    }


def load_cup(path: Path) -> tuple[Recording, float]:
    """The recording with its pseudo truth, and the seconds that onboarding its model took."""
    scene = BopScene(path, labels="scene_gt_pseudo.json")
    start = time.perf_counter()
    bundle = onboard(path / "models" / "obj_000001.ply", "mm")
    seconds = time.perf_counter() - start
    ids = scene.frame_ids
    quality = json.loads((path / "pose_quality.json").read_text())
    return Recording(
        frames=[scene.frame(i) for i in ids],
        T_cam_centre=np.stack([scene.ground_truth(i)[0].T_cam_obj @ bundle.T_obj_centre for i in ids]),
        judged=np.array([quality[str(i)]["quality"] in ("A", "B") for i in ids]),
        masks={i: scene.mask_visib(i) for i in ids if scene.has_mask(i)},
        mesh=bundle.mesh,
        viewpoints=bundle.viewpoints,
    ), seconds


def load_synthetic(count: int) -> list[Recording]:
    """Synthetic sequences of 60 frames, centred."""
    found = []
    for script in evaluation_sequences(count):
        mesh = script.target.mesh
        low, high = mesh.bounds()
        centre = (low + high) / 2.0
        mesh = dataclasses.replace(mesh, vertices=np.ascontiguousarray(mesh.vertices - centre))
        shots = list(SceneRenderer(script))
        found.append(
            Recording(
                frames=[shot.frame for shot in shots],
                T_cam_centre=np.stack([shot.T_cam_obj for shot in shots]) @ make_T(np.eye(3), centre),
                judged=np.ones(len(shots), dtype=bool),
                masks={i: shot.mask_visib for i, shot in enumerate(shots)},
                mesh=mesh,
                viewpoints=build_viewpoints(mesh),
            )
        )
    return found


def turning_can(frame_count: int = 40, step_deg: float = 3.0) -> Recording:
    """A painted can in a synthetic scene that turns about its own axis: only its texture shows the motion."""
    can = make_object(OBJECTS_DEV.first, evaluation=True, family="can", paint_kind="clouds", diameter_m=0.14)
    script = evaluation_scene(SCENES_DEV.seed(3))
    turns = exp_so3(np.deg2rad(step_deg) * np.arange(frame_count)[:, None] * [0.0, 0.0, 1.0])
    lowest = float(can.mesh.vertices[:, 2].min())
    target = MovingMesh(mesh=can.mesh, T_world_obj=make_T(turns, [0.0, 0.0, -lowest]))
    script = dataclasses.replace(script, target=target, others=(), frame_count=frame_count)
    shots = list(SceneRenderer(script))
    return Recording(
        frames=[shot.frame for shot in shots],
        T_cam_centre=np.stack([shot.T_cam_obj for shot in shots]),
        judged=np.ones(frame_count, dtype=bool),
        masks={i: shot.mask_visib for i, shot in enumerate(shots)},
        mesh=can.mesh,
        viewpoints=build_viewpoints(can.mesh),
    )


def residuals_by_error(sequence: Recording, seed: int = 0) -> dict[str, Any]:
    """Residual of the truth and of poses turned and shifted from it, over frames that may be judged."""
    rng = np.random.default_rng(seed)
    refiner = GeometricRefiner(ViewpointBuffers.from_viewpoints(sequence.viewpoints), batch=16)
    buffers = FrameBuffers(*sequence.frames[0].size_px)
    found: dict[str, list[float]] = {}
    for index in np.flatnonzero(sequence.judged).tolist():
        buffers.upload(sequence.frames[index])
        T = sequence.T_cam_centre[index]
        refiner.update_appearance(buffers, T)
        for angle_deg, shift_m in ((0, 0.0), (5, 0.005), (10, 0.01), (20, 0.02), (40, 0.03), (90, 0.03)):
            w, v = rng.standard_normal((2, 8, 3))
            w *= np.deg2rad(angle_deg) / np.linalg.norm(w, axis=1, keepdims=True)
            v *= shift_m / np.linalg.norm(v, axis=1, keepdims=True)
            poses = make_T(exp_so3(w) @ T[:3, :3], T[:3, 3] + v)
            found.setdefault(f"{angle_deg} deg {1e3 * shift_m:.0f} mm", []).extend(
                refiner.terms_at(buffers, poses).residual.tolist()
            )
    return {name: percentiles(r, BOTH_TAILS) for name, r in found.items()}


def batch_time(sequence: Recording) -> dict[str, Any]:
    """Time to polish 8 and 32 hypotheses in 6 iterations, mask given, and the share that reaches 5 deg."""
    rng = np.random.default_rng(1)
    index = min(sequence.masks)
    buffers = FrameBuffers(*sequence.frames[0].size_px)
    buffers.upload(sequence.frames[index])
    refiner = GeometricRefiner(ViewpointBuffers.from_viewpoints(sequence.viewpoints))
    T, mask = sequence.T_cam_centre[index], sequence.masks[index]
    results = {}
    for count in (8, 32):
        w, v = rng.standard_normal((2, count, 3))
        w *= np.deg2rad(15.0) / np.linalg.norm(w, axis=1, keepdims=True)
        v *= 0.01 / np.linalg.norm(v, axis=1, keepdims=True)
        starts = make_T(exp_so3(w) @ T[:3, :3], T[:3, 3] + v)
        poses, _ = refiner.refine_batch(buffers, starts, mask=mask)
        close = np.mean([rotation_error_deg(T, pose) < 5.0 for pose in poses])

        def polish(starts: Float64 = starts) -> object:
            return refiner.refine_batch(buffers, starts, mask=mask)

        timing = measure(polish, seconds=2.0)
        results[str(count)] = {"reach_5_deg": round(float(close), 3), **dataclasses.asdict(timing)}
    return results


def show(console: Console, title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print scores as a table."""
    columns = {
        "within 0.1 d": "within_tenth_of_diameter",
        "ADD [mm]": "add_median_mm",
        "ADD-S [mm]": "add_s_median_mm",
        "worst ADD": "add_worst_mm",
        "ADD AUC": "add_auc",
        "rot [deg]": "rotation_median_deg",
        "IoU": "mask_iou_mean",
        "depth [mm]": "depth_residual_median_mm",
    }
    table = Table(title=title)
    for name in ("", *columns, "CPU p50 [ms]", "p99"):
        table.add_column(name, justify="right" if name else "left")
    for name, row in rows.items():
        cells = [str(row[key]) for key in columns.values()]
        table.add_row(name, *cells, f"{row['cpu_ms']['p50']:.2f}", f"{row['cpu_ms']['p99']:.2f}")
    console.print(table)


@dataclass(frozen=True, kw_only=True)
class GeometricOptions(RecordOptions):
    """What is followed."""

    real: Annotated[Path | None, typer.Option(help="Folder with the recording `cup`.")] = None
    sequences: Annotated[int, typer.Option(help="Synthetic sequences of 60 frames.")] = 6


@case(record="geometric", timing=True)
def geometric(options: GeometricOptions) -> Outcome:
    """Follow recordings by geometry alone, whole and without each of its parts."""
    console = Console(width=140)
    results: dict[str, Any] = {}
    if options.real is not None:
        cup, seconds = load_cup(options.real / "cup")
        everything = list(range(len(cup.frames)))
        rows = {name: scores(cup, follow(cup, everything, config)) for name, config in VARIANTS.items()}
        labels = Run(order=everything, T_cam_centre=cup.T_cam_centre, residuals=np.zeros(1), wall_ms=[0], cpu_ms=[0])
        rows["the labels themselves"] = scores(cup, labels)
        orders = {"backwards": everything[::-1], "every 2nd": everything[::2], "every 3rd": everything[1::3]}
        rows |= {name: scores(cup, follow(cup, order, FULL)) for name, order in orders.items()}
        show(console, f"cup, from the first label (onboarding {seconds:.1f} s)", rows)
        results["cup"] = rows
        results["cup_onboarding_s"] = round(seconds, 2)
        results["cup_residual"] = residuals_by_error(cup)
        results["cup_batch"] = batch_time(cup)
        console.print("residual by error:", results["cup_residual"])
        for count, row in results["cup_batch"].items():
            console.print(f"batch of {count}: p50 {row['cpu_ms']['p50']} ms CPU, {row['reach_5_deg']} within 5 deg")
    can = turning_can()
    rows = {name: scores(can, follow(can, list(range(len(can.frames))), VARIANTS[name])) for name in CAN_VARIANTS}
    show(console, "printed can turning about its axis, 3 deg per frame", rows)
    results["can"] = rows
    if options.sequences:
        synthetic = load_synthetic(options.sequences)
        rows = {}
        for number, sequence in enumerate(synthetic):
            everything = list(range(len(sequence.frames)))
            rows[f"{number}"] = scores(sequence, follow(sequence, everything, FULL))
            rows[f"{number} every 3rd"] = scores(sequence, follow(sequence, everything[::3], FULL))
        show(console, "synthetic sequences, from the true first pose", rows)
        results["synthetic"] = rows
    return Outcome(summary=summarise(results), rows=rows_of(results))


def summarise(results: dict[str, Any]) -> dict[str, Any]:
    """The figures of every pass that others are compared by; the rest is in the rows."""
    kept = ("within_tenth_of_diameter", "add_median_mm", "add_s_auc")
    return {
        name: {
            run: {key: row[key] for key in kept} | {"cpu_ms_p50": row["cpu_ms"]["p50"]} for run, row in found.items()
        }
        if name in RECORDINGS
        else found
        for name, found in results.items()
    }


def rows_of(results: dict[str, Any]) -> list[dict[str, Any]]:
    """All figures of every pass."""
    return [
        {"recording": name, "run": run, **row} for name in RECORDINGS for run, row in results.get(name, {}).items()
    ]
