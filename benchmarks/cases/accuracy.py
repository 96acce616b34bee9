"""How right the poses are: synthetic images and recordings, and real ones where they are at hand.

    python -m benchmarks run make_sets SETS
    python -m benchmarks run accuracy SETS [--real DATA] [--init mask|auto] [--bundle nano] [--jobs 2]

Every scene goes the way a user's goes: its model is onboarded, the loop registers from the first mask, or finds the
object by itself, and tracks to the end, and `evaluate` judges the poses. ``--real`` names a folder with the
recordings ``mustard`` and ``cup``. Of poses that are told as TRACKING `sides` says how many show the right side of
the object, ADD below a tenth of the diameter, and how many another one, ADD-S alone, that was told as ambiguous or
not. Of single pictures `by_image` says how many poses are right as far as the picture shows the side
(`benchmarks.image_truths`), and how many any method could have right by ADD.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.image_truths import best_share, image_truths
from benchmarks.recordings import onboarded
from benchmarks.registry import Outcome, SetOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import StormEdgeError
from storm_edge.evaluate.metrics import RECALL_SHARE, ModelPoints
from storm_edge.evaluate.pose_evaluation import PoseEvaluation, evaluate_scene
from storm_edge.evaluate.poses import score
from storm_edge.evaluate.predictions import read_predictions
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.pose_log import POSES
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene


@dataclass(frozen=True, kw_only=True)
class ImageJudgement:
    """A pose of a single picture, judged by what the picture shows."""

    add_m: float
    """ADD to the nearest of the poses that look the same [m]; infinite where there is no pose."""
    truths: int
    """How many poses look the same."""
    best_share: float
    """For which share of them the best of answers is right by ADD."""


@dataclass(frozen=True, kw_only=True)
class SceneRun:
    """What came of a scene."""

    judged: list[PoseEvaluation]
    """Of its labels."""
    states: list[str]
    """By frame."""
    ambiguous: frozenset[int]
    """Frames in which something of the turn was told as ambiguous."""
    refused: str | None = None
    """The line with which the scene was refused: all its labels count as missed."""
    by_image: ImageJudgement | None = None
    """Of a single picture with one label."""


def run_scene(task: tuple[Path, str, str, str]) -> SceneRun:
    """Onboard, track and judge one scene; the object bundle is kept beside it for the next run."""
    path, labels, networks, init = task
    scene = BopScene(path, labels=labels)
    bundle = onboarded(path)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        try:
            run = track_scene(
                scene,
                [bundle],
                None if networks == "none" else NetworkBundle.load(networks),
                out,
                TrackSceneOptions(init=Init(init), pictures=False),
            )
        except StormEdgeError as error:
            missed = evaluate_scene(scene, [], [bundle], answered=False)
            return SceneRun(
                judged=missed,
                states=[],
                ambiguous=frozenset(),
                refused=f"{path.name}: {error}",
                by_image=judged_by_image(scene, bundle, missed),
            )
        judged = evaluate_scene(scene, read_predictions(out / POSES), [bundle])
    told = frozenset(t.frame for t in run.tracks if t.ambiguous is not None)
    return SceneRun(
        judged=judged,
        states=[t.state.value for t in run.tracks],
        ambiguous=told,
        by_image=judged_by_image(scene, bundle, judged),
    )


def judged_by_image(scene: BopScene, bundle: ObjectBundle, judged: Sequence[PoseEvaluation]) -> ImageJudgement | None:
    """Judge the pose of a single picture by the poses that look the same in it; None of a recording."""
    if len(scene) > 1 or len(judged) != 1 or not scene.has_mask(judged[0].frame_id):
        return None
    frame_id, T_pred = judged[0].frame_id, judged[0].T_pred
    T_true = scene.ground_truth(frame_id)[0].T_cam_obj @ bundle.T_obj_centre
    frame, mask = scene.frame(frame_id), scene.mask_visib(frame_id)
    truths = image_truths(bundle.mesh, bundle.near_symmetries, frame, T_true, mask)
    model, border_m = ModelPoints(bundle.mesh_lod.vertices, bundle.symmetries), RECALL_SHARE * bundle.diameter_m
    is_right = np.array([[model.add_symmetric(a, b) < border_m for b in truths] for a in truths])
    T_centre = None if T_pred is None else T_pred @ bundle.T_obj_centre
    return ImageJudgement(
        add_m=float("inf") if T_centre is None else min(model.add_symmetric(T, T_centre) for T in truths),
        truths=len(truths),
        best_share=best_share(is_right),
    )


def run_set(name: str, tasks: list[tuple[Path, str, str, str]], jobs: int) -> list[SceneRun]:
    """All scenes of a set."""
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks))) as pool:
        return list(track(pool.imap(run_scene, tasks), f"{name:12s}", total=len(tasks)))


def summary(name: str, runs: Sequence[SceneRun]) -> dict[str, Any]:
    """Scores over all judged frames, the sides that were shown, and the worst scenes by name."""
    everything = [j for run in runs for j in run.judged]
    states = [state for run in runs for state in run.states]
    worst = sorted(
        ((max(j.add_s_m / j.diameter_m for j in run.judged), i) for i, run in enumerate(runs) if run.judged),
        reverse=True,
    )
    return {
        **asdict(score(name, everything)),
        "scenes": len(runs),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "sides": sides(runs),
        **by_image(runs),
        "refused": [run.refused for run in runs if run.refused is not None],
        "worst_scenes_add_s_over_diameter": {str(i): round(float(e), 4) for e, i in worst[:5]},
    }


def sides(runs: Sequence[SceneRun]) -> dict[str, int]:
    """Poses that are told as TRACKING, by the side of the object that they show."""
    found = dict.fromkeys(("tracking", "right", "other_told_ambiguous", "other", "elsewhere"), 0)
    for run in runs:
        for judged in run.judged:
            if judged.state != TrackState.TRACKING.value:
                continue
            found["tracking"] += 1
            border_m = RECALL_SHARE * judged.diameter_m
            if judged.add_symmetric_m < border_m:
                found["right"] += 1
            elif judged.add_s_m >= border_m:
                found["elsewhere"] += 1
            elif judged.frame_id in run.ambiguous:
                found["other_told_ambiguous"] += 1
            else:
                found["other"] += 1
    return found


def by_image(runs: Sequence[SceneRun]) -> dict[str, dict[str, float]]:
    """Single pictures, judged by what they show; nothing where there are none."""
    pairs = [(run.by_image, run.judged[0]) for run in runs if run.by_image is not None]
    if not pairs:
        return {}
    is_right = [found.add_m < RECALL_SHARE * judged.diameter_m for found, judged in pairs]
    return {
        "by_image": {
            "pictures": len(pairs),
            "add_recall": float(np.mean(is_right)),
            "pictures_that_show_the_side": sum(found.best_share == 1.0 for found, _ in pairs),
            "best_possible_add_symmetric_recall": float(np.mean([found.best_share for found, _ in pairs])),
        }
    }


@dataclass(frozen=True, kw_only=True)
class AccuracyOptions(SetOptions):
    """Which scenes are followed, and how they begin."""

    real: Annotated[Path | None, typer.Option(help="Folder with the recordings mustard and cup.")] = None
    init: Annotated[Init, typer.Option(help="What gives the first pose.")] = Init.MASK
    only: Annotated[list[str] | None, typer.Option(help="Only these sets; given again for each.")] = None
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2


@case(record="accuracy")
def accuracy(options: AccuracyOptions) -> Outcome:
    """Onboard, follow and judge every scene; bundle `none` is geometry alone."""

    only = options.only or ("scenes", "sequences", "mustard", "cup")
    results: dict[str, Any] = {}
    for name in ("scenes", "sequences"):
        folders = sorted(p for p in (options.sets / name).glob("*") if p.is_dir())
        if name in only and folders:
            tasks = [(p, "scene_gt.json", options.bundle, options.init.value) for p in folders]
            results[name] = summary(name, run_set(name, tasks, options.jobs))
    if options.real is not None:
        for name, labels in (("mustard", "scene_gt.json"), ("cup", "scene_gt_pseudo.json")):
            if name not in only:
                continue
            runs = run_set(name, [(options.real / name, labels, options.bundle, options.init.value)], 1)
            results[name] = summary(name, runs)
            labels_judged = runs[0].judged
            for quality in sorted({j.quality for j in labels_judged if j.quality}):
                part = [j for j in labels_judged if j.quality == quality]
                results[f"{name} class {quality}"] = asdict(score(quality, part))
            judged = [j for j in labels_judged if j.quality in ("A", "B")]
            if judged:
                results[f"{name} classes A, B"] = asdict(score("A, B", judged))

    table = Table(title=f"accuracy, bundle {options.bundle}")
    counts = ("label_count", "pose_count", "add_recall", "add_s_recall", "add_auc", "add_s_auc")
    columns = (*counts, "add_median_m", "add_s_median_m", "iou_mean", "depth_residual_median_m")
    for column in ("set", *columns):
        table.add_column(column)
    for name, row in results.items():
        cells = [row[c] for c in columns]
        table.add_row(
            name, *("-" if c is None else f"{c:.4g}" if isinstance(c, float | np.floating) else str(c) for c in cells)
        )
    Console(width=170).print(table)
    return Outcome(summary={"bundle": options.bundle, "init": options.init.value, **results})
