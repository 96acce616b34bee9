"""How right the poses are: held-out synthetic pictures and recordings, and real ones where they are at hand.

    python -m benchmarks.make_sets SETS
    python -m benchmarks run accuracy SETS [--real DATA] [--init mask|auto] [--bundle nano] [--jobs 2]

Every scene goes the way a user's goes: its model is onboarded, the loop registers from the first mask, or finds the
object by itself, and tracks to the end, and `evaluate` judges the poses. ``--real`` names a folder with the
recordings ``mustard`` and ``cup``. The record is ``records/accuracy.json``; ``--name`` renames it for other runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common import write_record
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.pose_evaluation import PoseEvaluation, evaluate_scene
from storm_edge.evaluate.poses import score
from storm_edge.evaluate.predictions import read_predictions
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.replay.outputs import POSES
from storm_edge.replay.track_scene import track_scene


def run_scene(task: tuple[Path, str, str, str]) -> tuple[list[PoseEvaluation], list[str]]:
    """Onboard, track and judge one scene; the object bundle is kept beside it for the next run."""
    path, labels, networks, init = task
    scene = BopScene(path, labels=labels)
    model = next(iter(sorted((path / "models").glob("obj_*.ply"))))
    kept = Path(tempfile.gettempdir()) / "storm-edge-bench" / f"{path.parent.name}-{path.name}" / model.stem
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        onboard(model, "mm").save(kept)
    bundle = ObjectBundle.load(kept)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = track_scene(
            scene,
            [bundle],
            None if networks == "none" else NetworkBundle.load(networks),
            out,
            init=Init(init),
            pictures=False,
        )
        judged = evaluate_scene(scene, read_predictions(out / POSES), [bundle])
    return judged, [t.state.value for t in run.tracks]


def run_set(
    name: str, tasks: list[tuple[Path, str, str, str]], jobs: int
) -> tuple[list[list[PoseEvaluation]], list[str]]:
    """All scenes of a set, each its own list of judgements."""
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks))) as pool:
        results = list(track(pool.imap(run_scene, tasks), f"{name:12s}", total=len(tasks)))
    return [judged for judged, _ in results], [state for _, states in results for state in states]


def summary(name: str, scenes: list[list[PoseEvaluation]], states: list[str]) -> dict[str, Any]:
    """Scores over all judged frames, and the worst scenes by name."""
    everything = [j for judged in scenes for j in judged]
    worst = sorted(
        ((max(j.add_s_m / j.diameter_m for j in judged), i) for i, judged in enumerate(scenes) if judged),
        reverse=True,
    )
    return {
        **asdict(score(name, everything)),
        "scenes": len(scenes),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "worst_scenes_add_s_over_diameter": {str(i): round(float(e), 4) for e, i in worst[:5]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, help="folder written by benchmarks.make_sets")
    parser.add_argument("--real", type=Path, help="folder with the recordings mustard and cup")
    parser.add_argument("--bundle", default="nano", help="a network bundle, or none for geometry alone")
    parser.add_argument("--init", choices=["mask", "auto"], default="mask")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["scenes", "sequences", "mustard", "cup"])
    parser.add_argument("--name", default="accuracy")
    options = parser.parse_args()

    results: dict[str, Any] = {}
    for name in ("scenes", "sequences"):
        folders = sorted(p for p in (options.sets / name).glob("*") if p.is_dir())
        if name in options.only and folders:
            tasks = [(p, "scene_gt.json", options.bundle, options.init) for p in folders]
            scenes, states = run_set(name, tasks, options.jobs)
            results[name] = summary(name, scenes, states)
    if options.real is not None:
        for name, labels in (("mustard", "scene_gt.json"), ("cup", "scene_gt_pseudo.json")):
            if name not in options.only:
                continue
            scenes, states = run_set(name, [(options.real / name, labels, options.bundle, options.init)], 1)
            results[name] = summary(name, scenes, states)
            for quality in sorted({j.quality for j in scenes[0] if j.quality}):
                part = [j for j in scenes[0] if j.quality == quality]
                results[f"{name} class {quality}"] = asdict(score(quality, part))
            judged = [j for j in scenes[0] if j.quality in ("A", "B")]
            if judged:
                results[f"{name} classes A, B"] = asdict(score("A, B", judged))

    table = Table(title=f"accuracy, bundle {options.bundle}")
    columns = ("label_count", "pose_count", "add_recall", "add_s_recall", "add_auc", "add_s_auc")
    columns += ("add_median_m", "add_s_median_m", "iou_mean", "depth_residual_median_m")
    for column in ("set", *columns):
        table.add_column(column)
    for name, row in results.items():
        cells = [row[c] for c in columns]
        table.add_row(
            name, *("-" if c is None else f"{c:.4g}" if isinstance(c, float | np.floating) else str(c) for c in cells)
        )
    Console(width=170).print(table)
    print(write_record(options.name, {"bundle": options.bundle, "init": options.init, **results}))


if __name__ == "__main__":
    main()
