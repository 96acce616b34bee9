"""`storm-edge eval` over a whole dataset, and average recall of a single scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from storm_edge.cli.console import print_table, progress_bars, say
from storm_edge.cli.dataset_run import DatasetRequest, open_dataset_objects
from storm_edge.cli.inputs import open_scene

if TYPE_CHECKING:
    from storm_edge.bop.dataset import BopDataset
    from storm_edge.bop.scene import BopScene
    from storm_edge.bop.targets import Targets
    from storm_edge.evaluate.average_recall import AverageRecall
    from storm_edge.evaluate.pose_rules import PoseRules
    from storm_edge.evaluate.poses import Score
    from storm_edge.evaluate.predictions import Prediction
    from storm_edge.objects.bundle import ObjectBundle


def eval_masks(predictions: Path, request: DatasetRequest, *, force: bool) -> None:
    """Judge what `segment` left of a dataset."""
    from storm_edge.bop.dataset import BopDataset
    from storm_edge.datasets.evaluation import judge_masks
    from storm_edge.evaluate.masks import score_masks
    from storm_edge.evaluate.report import MASK_REPORT, mask_tables, write_report

    dataset = BopDataset(request.path, split=request.split)
    with progress_bars() as report:
        objects = open_dataset_objects(request, dataset, report)
        judged = judge_masks(predictions, dataset, objects, lambda path: _open(path, request), report)
    evaluations = [one for scene in judged.values() for one in scene.evaluations]
    scores = score_masks(evaluations)
    scenes = {
        name: {"scores": score_masks(scene.evaluations), "unjudged_frames": scene.unjudged_frames}
        for name, scene in judged.items()
    }
    unjudged = sum(len(scene.unjudged_frames) for scene in judged.values())
    images = {name: scene.evaluations for name, scene in judged.items()}
    content = {"scores": scores, "scenes": scenes, "unjudged_frames": unjudged, "images": images}
    write_report(request.out, content, MASK_REPORT, force=force)
    title = f"{dataset.name}/{dataset.split}: {len(judged)} scenes, answers judged: {len(evaluations)}"
    for table in mask_tables(scores, title=title):
        print_table(table)
    if unjudged:
        say(f"{unjudged} images have no mask_visib of a labelled object and are not judged there")


@dataclass(frozen=True, kw_only=True)
class PoseChoices:
    """How poses of a dataset are judged."""

    rules: PoseRules
    """Rules of the scores."""
    targets: Path | None
    """File of what is to be found."""
    recall: bool
    """Whether average recall is wanted."""


def eval_poses(predictions: Path, request: DatasetRequest, choices: PoseChoices, *, force: bool) -> None:
    """Judge poses of a dataset."""
    from storm_edge.bop.dataset import BopDataset
    from storm_edge.datasets.evaluation import judge_poses
    from storm_edge.evaluate.average_recall import average_recalls
    from storm_edge.evaluate.poses import score_poses
    from storm_edge.evaluate.report import POSE_REPORT, write_report

    dataset, rules, recall = BopDataset(request.path, split=request.split), choices.rules, choices.recall
    wanted = _targets(dataset, choices.targets)
    with progress_bars() as report:
        objects = open_dataset_objects(request, dataset, report)
        judged = judge_poses(
            predictions,
            dataset,
            objects,
            lambda path: _open(path, request),
            targets=wanted,
            add_s_from=rules.add_s_from,
            recall=recall,
            progress=report,
        )
    scores = score_poses(judged.evaluations, rules)
    recalls = average_recalls(judged.counts) if recall else []
    scenes: dict[str, Any] = {
        name: {
            "scores": score_poses(evaluations, rules),
            "average_recall": average_recalls(judged.recalls[name]) if recall else [],
        }
        for name, evaluations in judged.scenes.items()
    }
    content = {
        "rules": rules.report(),
        "scores": scores,
        "average_recall": recalls,
        "scenes": scenes,
        "labels": judged.scenes,
    }
    write_report(request.out, content, POSE_REPORT, force=force)
    title = f"{dataset.name}/{dataset.split}: {len(judged.scenes)} scenes, {len(judged.evaluations)} labels"
    print_scores(scores, rules, title=title)
    print_recalls(recalls)


def print_scores(scores: list[Score], rules: PoseRules, *, title: str) -> None:
    """Tables of scores, and the rules by which they are."""
    from storm_edge.choices import AucRule
    from storm_edge.evaluate.report import score_tables

    for table in score_tables(scores, title=title, limit="0.1 d" if rules.auc is AucRule.STORM else "0.1 m"):
        print_table(table)
    for sentence in rules.sentences():
        typer.echo(sentence)


def scene_recalls(scene: BopScene, predictions: list[Prediction], bundles: list[ObjectBundle]) -> list[AverageRecall]:
    """Average recall of one scene, with the symmetries of the `models_info.json` of its dataset or its folder."""
    from storm_edge.bop.dataset import MODELS_INFO
    from storm_edge.bop.models import read_models_info
    from storm_edge.evaluate.average_recall import average_recalls
    from storm_edge.evaluate.recall_scene import count_scene, recall_object

    paths = (scene.models_dir / MODELS_INFO, scene.path.resolve().parent.parent / "models" / MODELS_INFO)
    path = next((path for path in paths if path.is_file()), None)
    infos = {} if path is None else read_models_info(path)
    objects = [recall_object(bundle, infos.get(bundle.bop_id or -1)) for bundle in bundles]
    return average_recalls(count_scene(scene, predictions, objects))


def print_recalls(recalls: list[AverageRecall]) -> None:
    """Tables of average recall."""
    from storm_edge.evaluate.report import recall_tables

    for table in recall_tables(recalls, title="Average recall of the BOP challenge"):
        print_table(table)


def _open(path: Path, request: DatasetRequest) -> BopScene:
    return open_scene(path, request.labels, request.camera)


def _targets(dataset: BopDataset, path: Path | None) -> Targets | None:
    """What is to be found: by the named file, or by that of the dataset where it has one, and it says so."""
    from storm_edge.bop.targets import read_targets, targets_name

    own = dataset.path / targets_name(dataset.split)
    if path is None and own.is_file():
        typer.echo(f"{own}: what it lists is judged")
        path = own
    return None if path is None else read_targets(path)
