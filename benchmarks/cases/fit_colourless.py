"""Weights of the presence probability of models without colours: as `fit_presence`, of searches for stripped models.

    python -m benchmarks run fit_colourless SETS [--scenes 360] [--first 0] [--absent 2] [--real DATA] [--jobs 2]
    python -m benchmarks run fit_colourless SETS --recorded

The models of generated single images are stripped of their colours and searched for in their own image, and in those
of others, where they are absent; with ``--real`` those of recordings, too. Right is a pose whose ADD-S is below a
tenth of the diameter, wrong one above a quarter. What poses count, what is left out and what is printed is as in
`fit_presence`, but that a search of a recording counts as one of an image. Features that a model without colours does
not have are 0, and so are their weights.

The record holds the poses that bear on the fit; ``--recorded`` fits to them and gives the shipped weights.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from benchmarks.cases.colourless import stripped
from benchmarks.cases.first_look import rightness
from benchmarks.cases.fit_presence import MARGIN_LOGIT as MARGIN_WITH_COLOURS
from benchmarks.cases.fit_presence import best_poses, fit_searches, left_out_logits, said_at
from benchmarks.cases.search import scored
from benchmarks.presence_poses import FEATURES, Poses, pose_rows, read_rows, recorded_poses, save_rows
from benchmarks.registry import Outcome, SetOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.segmenter import Segmenter

RECORDED = "colourless_calibration"
COLOURS = ("pattern", "colour", "imbalance", "residual", "coarse_pattern", "coarse_residual", "network")
"""Features that need the model's colours."""
MARGIN_LOGIT = 1.0
"""By how much more than even odds all must say, before it counts as a half: a wrong place that is believed costs more
than another search."""
REAL_FRAMES = 16
"""Of a recording every so manieth frame is searched."""


@dataclass(frozen=True, kw_only=True)
class FitColourlessOptions(SetOptions):
    """Which poses the weights are fitted to."""

    scenes: Annotated[int, typer.Option(help="How many images are searched.")] = 360
    first: Annotated[int, typer.Option(help="Number of the first.")] = 0
    absent: Annotated[int, typer.Option(help="Objects looked for in each that are not there.")] = 2
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes that are searched, too.")] = None
    save: Annotated[Path | None, typer.Option(help="File that keeps all poses.")] = None
    poses: Annotated[Path | None, typer.Option(help="Fit to poses that were kept; no search.")] = None
    recorded: Annotated[bool, typer.Option("--recorded", help="Fit to the recorded poses; no search.")] = False
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2


@dataclass(frozen=True, kw_only=True)
class Task:
    """Models that are searched for in one scene."""

    number: int
    """Of the scene; of a real one below 0."""
    scene: Path
    models: tuple[Path, ...]
    """The scene's own first."""
    networks: str


@case(record="fit_colourless")
def fit_colourless(options: FitColourlessOptions) -> Outcome:
    """Fit the weights, cross-validate and print them."""
    poses = _poses(options)
    figures: dict[str, Any] = {"source": RECORDED if options.recorded else options.bundle}
    if not options.recorded:
        said = left_out_logits(counted_alike(poses)) - (MARGIN_LOGIT - MARGIN_WITH_COLOURS)
        figures |= {"all_poses": len(poses.scene), "left_out": said_at(poses, said)}
        poses = best_poses(counted_alike(poses))
    weights, constant = fit_searches(poses)
    figures |= {
        "poses": len(poses.scene),
        "searches": len(np.unique(poses.search)),
        "weights": {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)},
        "constant": round(constant - MARGIN_LOGIT, 2),
    }
    for name, value in figures.items():
        print(f"{name:<24} {value}")
    return Outcome(summary=figures | poses.written())


def without_colours(poses: Poses) -> Poses:
    """Poses whose features of colours are 0."""
    return Poses(**{**vars(poses), "features": np.where(np.isin(FEATURES, COLOURS), 0.0, poses.features)})


def counted_alike(poses: Poses) -> Poses:
    """Poses of which none counts as one of a recording; the numbers of their scenes still tell."""
    return Poses(**{**vars(poses), "is_real": np.zeros_like(poses.is_real)})


def searched(task: Task) -> list[dict[str, Any]]:
    """Search one scene; a row for each search, as `pose_rows` takes them."""
    networks = NetworkBundle.load(task.networks)
    segmenter = Segmenter(networks)
    is_real = task.number < 0
    scene = BopScene(task.scene, labels=_labels(task.scene))
    rows = []
    for model_path in task.models:
        bundle = stripped(model_path)
        detector = Detector(ObjectOnDevice(bundle), segmenter, networks=networks)
        model, is_there = ModelPoints(bundle.mesh_lod.vertices, bundle.symmetries), model_path == task.models[0]
        for frame_id in scene.frame_ids[:: REAL_FRAMES if is_real else 1]:
            frame, labels = scene.frame(frame_id), scene.ground_truth(frame_id)
            buffers = FrameBuffers(*frame.size_px)
            buffers.upload(frame)
            search = detector.detect(frame, buffers)
            T = labels[0].T_cam_obj @ bundle.T_obj_centre if is_there else None
            found = [
                {**rightness(model, bundle.diameter_m, T, one), **scored(one, search)}
                for one in search.tried
                if one.evidence is not None
            ]
            rows.append({"scene": task.number, "real": is_real, "there": is_there, "scored": found})
    return rows


def _poses(options: FitColourlessOptions) -> Poses:
    if options.recorded:
        return recorded_poses(RECORDED)
    if options.poses is not None:
        return without_colours(Poses.of(read_rows(options.poses)))
    tasks = list(_tasks(options))
    own = [task.models[0] for task in tasks]
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for _ in track(pool.imap_unordered(_prepare, own), "models", total=len(own)):
            pass
        for some in track(pool.imap(searched, tasks), "images", total=len(tasks)):
            rows += some
    kept = pose_rows(rows)
    if options.save is not None:
        save_rows(options.save, kept)
    return without_colours(Poses.of(kept))


def _prepare(model: Path) -> None:
    """Two processes must not strip one model at a time."""
    stripped(model)


def _tasks(options: FitColourlessOptions) -> Iterator[Task]:
    """Each scene with its own model and those of the next; of recordings, of those that share no name with it."""
    made = [options.sets / "scenes" / f"{options.first + k:06d}" for k in range(options.scenes)]
    real = [] if options.real is None else sorted(p for p in options.real.iterdir() if (p / "rgb").is_dir())
    for paths, is_real in ((made, False), (real, True)):
        for k, path in enumerate(paths):
            following = paths[k + 1 :] + paths[:k]
            if is_real:  # they may show each other's objects
                following = [p for p in following if not {*p.name.split("_")} & {*path.name.split("_")}]
            models = tuple(_model(p) for p in (path, *following[: options.absent]))
            yield Task(
                number=-1 - k if is_real else options.first + k, scene=path, models=models, networks=options.bundle
            )


def _model(scene: Path) -> Path:
    return next((scene / "models").glob("*.ply"))


def _labels(scene: Path) -> str:
    pseudo = "scene_gt_pseudo.json"
    return pseudo if (scene / pseudo).is_file() else "scene_gt.json"
