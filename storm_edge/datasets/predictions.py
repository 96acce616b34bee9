"""Predictions for a whole dataset, by scene: a work folder, one BOP result file, or a folder with one per scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storm_edge.bop.dataset import BopDataset
from storm_edge.bop.scene_pred import SCENE_PRED
from storm_edge.datasets.shard import parse_shard
from storm_edge.datasets.work_folder import WORK, is_done, is_work_folder, read_work, unit_folder
from storm_edge.errors import InputError, mismatch
from storm_edge.evaluate.predictions import Prediction, read_predictions
from storm_edge.parsing import parse_json
from storm_edge.replay.pose_log import POSES
from storm_edge.replay.result_kinds import BOP_RESULTS
from storm_edge.replay.summary import SUMMARY

_NAMED = 3  # in a message
_FILES = (POSES, BOP_RESULTS, SCENE_PRED)


def work_units(path: Path) -> list[str]:
    """Scenes of the shard that a work folder is of.

    Raises:
        InputError: It is none.
    """
    work = read_work(path)
    return parse_shard(work["shard"]).of(work["units"])


def work_scenes(path: Path, dataset: BopDataset) -> dict[str, Path]:
    """Results of a work folder by scene, without scenes that have none of the objects.

    Raises:
        InputError: It is of another dataset, or some scenes are not done.
    """
    work = read_work(path)
    unknown = [unit for unit in work["units"] if unit not in dataset.scenes]
    if unknown or (work["dataset"], work["split"]) != (dataset.name, dataset.split):
        got = f"results of {work['dataset']}/{work['split']} with {len(work['units'])} scenes"
        expected = f"results of {dataset.name}/{dataset.split}"
        raise InputError(mismatch(path / WORK, got, expected, "name the dataset that was run"))
    units = work_units(path)
    folders = {unit: unit_folder(path, unit) for unit in units}
    open_ = [unit for unit, folder in folders.items() if not is_done(folder)]
    if open_:
        got = f"{len(open_)} of {len(units)} scenes that are not done, such as {', '.join(open_[:_NAMED])}"
        raise InputError(mismatch(path, got, "all of them", "give the command that made it again, it goes on"))
    return {unit: folder for unit, folder in folders.items() if _has_objects(folder)}


def dataset_predictions(path: Path, dataset: BopDataset) -> Mapping[str, list[Prediction]]:
    """Poses by scene.

    Args:
        path: A work folder of `track` or `estimate`, a BOP result file, or a folder with a folder per scene that
            holds `poses.jsonl`, `bop_results.csv` or `scene_pred.json`.
        dataset: What they are of.

    Raises:
        InputError: They are of another dataset, or cannot be read.
    """
    if path.is_dir():
        if is_work_folder(path):
            return {unit: _read(folder) for unit, folder in work_scenes(path, dataset).items()}
        scenes = {f.name: f for f in path.iterdir() if any((f / name).is_file() for name in _FILES)}
        unknown = sorted(set(scenes) - set(dataset.scenes))
        if unknown or not scenes:
            got = f"scenes {', '.join(unknown[:_NAMED])}" if unknown else "no folder of a scene with poses in it"
            raise InputError(mismatch(path, got, f"scenes of {dataset.name}/{dataset.split}", "check the path"))
        found = {name: read_predictions(folder) for name, folder in sorted(scenes.items())}
    else:
        found = _by_scene(read_predictions(path), path, dataset)
    for name, predictions in found.items():
        _check_numbers(f"{path} scene {name}", predictions, dataset)
    return found


def _by_scene(predictions: list[Prediction], path: Path, dataset: BopDataset) -> dict[str, list[Prediction]]:
    """Lines of a BOP result file by scene folder."""
    names = {int(name): name for name in dataset.scenes if name.isdecimal()}
    found: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        name = None if prediction.scene_id is None else names.get(prediction.scene_id)
        if name is None:
            got = "poses without a scene" if prediction.scene_id is None else f"scene {prediction.scene_id}"
            expected = f"scenes of {dataset.name}/{dataset.split}: {', '.join(list(dataset.scenes)[:_NAMED])}, ..."
            raise InputError(mismatch(path, got, expected, "name the dataset that these poses are of"))
        found.setdefault(name, []).append(prediction)
    return found


def _check_numbers(what: str, predictions: list[Prediction], dataset: BopDataset) -> None:
    """Refuse numbers of objects that the dataset does not have."""
    for prediction in predictions:
        if prediction.object_id.isdecimal() and int(prediction.object_id) not in dataset.models:
            got, expected = (
                f"object {prediction.object_id}",
                f"one of the {len(dataset.models)} objects of {dataset.name}",
            )
            raise InputError(mismatch(what, got, expected, "name the dataset that these poses are of"))


def _read(folder: Path) -> list[Prediction]:
    """Poses of a scene's result; none where no pose was found in it."""
    return read_predictions(folder) if any((folder / name).is_file() for name in _FILES) else []


def _has_objects(folder: Path) -> bool:
    return bool(parse_json((folder / SUMMARY).read_bytes()).get("objects") != [])
