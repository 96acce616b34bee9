"""Masks and poses of a whole dataset against its labels: every scene as it is judged by itself, and all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storm_edge.bop.dataset import BopDataset
from storm_edge.bop.scene import BopScene
from storm_edge.bop.targets import Targets
from storm_edge.choices import AddSFrom
from storm_edge.datasets.objects import DatasetObjects
from storm_edge.datasets.predictions import dataset_predictions, work_scenes
from storm_edge.errors import InputError, mismatch
from storm_edge.evaluate.average_recall import RecallCounts
from storm_edge.evaluate.mask_results import MaskSceneEvaluation, evaluate_mask_scene, read_mask_results
from storm_edge.evaluate.pose_evaluation import PoseEvaluation, evaluate_scene
from storm_edge.evaluate.recall_scene import count_scene, recall_object
from storm_edge.objects.bundle import ObjectBundle

OpenScene = Callable[[Path], BopScene]
Progress = Callable[[str, float], None]


@dataclass(kw_only=True)
class DatasetPoses:
    """All judgements of poses."""

    scenes: dict[str, list[PoseEvaluation]] = field(default_factory=dict)
    """By scene."""
    recalls: dict[str, dict[str, RecallCounts]] = field(default_factory=dict)
    """By scene and object; empty where average recall was not asked for."""

    @property
    def evaluations(self) -> list[PoseEvaluation]:
        """Of all scenes, in order."""
        return [one for evaluations in self.scenes.values() for one in evaluations]

    @property
    def counts(self) -> dict[str, RecallCounts]:
        """Matches of all scenes by object."""
        total: dict[str, RecallCounts] = {}
        for counts in self.recalls.values():
            for name, one in counts.items():
                summed = total.setdefault(name, RecallCounts())
                summed += one
        return total


def judge_masks(
    path: Path, dataset: BopDataset, objects: DatasetObjects, open_scene: OpenScene, progress: Progress
) -> dict[str, MaskSceneEvaluation]:
    """Judge what `segment` left of a dataset, by scene.

    Raises:
        StormEdgeError: It is of another dataset, not all of it is done, or labels or masks are missing.
    """
    results = work_scenes(path, dataset)
    if not results:
        raise InputError(mismatch(path, "no scene with objects", "at least one", "segment scenes with labels"))
    found: dict[str, MaskSceneEvaluation] = {}
    for done, (name, folder) in enumerate(results.items()):
        progress("judge", done / len(results))
        scene = open_scene(dataset.scenes[name])
        bundles = _distinct(objects.of_scene(scene)[1])
        found[name] = evaluate_mask_scene(scene, read_mask_results(folder), bundles)
    return found


def judge_poses(
    path: Path,
    dataset: BopDataset,
    objects: DatasetObjects,
    open_scene: OpenScene,
    *,
    targets: Targets | None = None,
    add_s_from: AddSFrom = AddSFrom.TRUTH,
    recall: bool = True,
    progress: Progress,
) -> DatasetPoses:
    """Judge poses of a dataset, scene by scene; of a shard its scenes, of anything else all labelled scenes.

    Args:
        path: See `predictions.dataset_predictions`.
        dataset: The dataset.
        objects: Its objects.
        open_scene: Opens one of its scenes.
        targets: What is to be found: only that is judged; None for every label.
        add_s_from: Whose points look for their nearest ones in ADD-S.
        recall: Whether average recall is counted, too.
        progress: Is told what is done.

    Raises:
        StormEdgeError: They are of another dataset, or labels or images are missing.
    """
    predictions = dataset_predictions(path, dataset)
    names = _judged_scenes(path, predictions, dataset, targets)
    judged = DatasetPoses()
    for done, name in enumerate(names):
        progress("judge", done / len(names))
        scene = open_scene(dataset.scenes[name])
        bundles = _distinct(objects.of_scene(scene)[1])
        if not bundles:
            continue
        mine = predictions.get(name, [])
        wanted = None if targets is None else {k[1:]: n for k, n in targets.items() if k[0] == int(name)}
        evaluations = evaluate_scene(scene, mine, bundles, add_s_from=add_s_from, answered=False)
        if wanted is not None:
            numbers = {bundle.object_id: bundle.bop_id for bundle in bundles}
            evaluations = [e for e in evaluations if (e.frame_id, numbers[e.object_id]) in wanted]
        judged.scenes[name] = evaluations
        if recall:
            infos = [recall_object(bundle, dataset.infos.get(bundle.bop_id or -1)) for bundle in bundles]
            judged.recalls[name] = count_scene(scene, mine, infos, targets=wanted)
    if not judged.evaluations:
        raise InputError(mismatch(path, "no label to judge by", "labels of its scenes", "check the dataset"))
    return judged


def _judged_scenes(
    path: Path, predictions: Mapping[str, object], dataset: BopDataset, targets: Targets | None
) -> Sequence[str]:
    """Scenes whose labels count: those of the targets; without targets those of a run, or all."""
    if targets is not None:
        numbers = {scene for scene, _, _ in targets}
        known = {int(name): name for name in dataset.scenes if name.isdecimal()}
        if not numbers <= set(known):
            got = f"scene {min(numbers - set(known))} among the targets"
            raise InputError(
                mismatch("--targets", got, f"scenes of {dataset.name}/{dataset.split}", "check the file")
            )
        return [known[number] for number in sorted(numbers)]
    return list(dataset.scenes) if path.suffix.lower() == ".csv" else list(predictions)


def _distinct(bundles: Sequence[ObjectBundle]) -> list[ObjectBundle]:
    """Each object once."""
    return list({bundle.object_id: bundle for bundle in bundles}.values())
