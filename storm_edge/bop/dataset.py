"""Where a BOP dataset has its models and the scenes of a split. Scenes are opened elsewhere (`scene`).

A dataset is a folder with `models/` (or `models_cad/`, `models_fine/`), `models_eval/` where evaluations have models
of their own, and a folder per split, such as `test/`, with a scene folder per number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from storm_edge.bop.completeness import check_complete
from storm_edge.bop.images import depth_path
from storm_edge.bop.models import ModelInfo, read_models_info
from storm_edge.bop.scene import BopScene
from storm_edge.errors import SceneError, mismatch

SMALLEST_DATASET = "models/obj_NNNNNN.ply ... and test/NNNNNN/ ... with scenes"
"""The smallest dataset folder, in words."""
MODELS_INFO = "models_info.json"
"""Name of the file of diameters and symmetries beside models."""
_TEST = "test"  # the split that is meant where none is named
_MODELS = ("models", "models_cad", "models_fine", "models_reconst")
_MODELS_EVAL = "models_eval"
_CAMERAS = "scene_camera*.json"
_PICTURES = ("rgb", "gray", "depth")  # folders of a scene
_MODEL_NAME = re.compile(r"obj_(\d{1,18})\.ply")
_NAMED = 5  # in a message


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset and not one of its scenes, whatever of it is missing."""
    if not path.is_dir() or any(path.glob(_CAMERAS)) or any((path / name).is_dir() for name in _PICTURES):
        return False
    return any((path / name).is_dir() for name in _MODELS) or bool(split_names(path))


def split_names(path: Path) -> list[str]:
    """Subfolders that hold scenes, in order."""
    return sorted(folder.name for folder in path.iterdir() if folder.is_dir() and any(folder.glob(f"*/{_CAMERAS}")))


class BopDataset:
    """A dataset folder and one of its splits.

    Args:
        path: The dataset folder.
        split: Its subfolder with scenes; by default `test`, or the only one there is.

    Attributes:
        split: Name of the split.
        scenes: Scene folders by name, in the order of their numbers.
        models: Model files by object number.
        infos: What `models_info.json` says of them.

    Raises:
        SceneError: There are no models or no scenes, or the split cannot be told.
    """

    def __init__(self, path: Path | str, *, split: str | None = None) -> None:
        self.path = Path(path)
        self.split = _choose_split(self.path, split)
        found = [folder for folder in (self.path / self.split).iterdir() if any(folder.glob(_CAMERAS))]
        self.scenes: Mapping[str, Path] = {folder.name: folder for folder in sorted(found, key=_scene_order)}
        folder = next((self.path / name for name in _MODELS if (self.path / name).is_dir()), None)
        self.models = {} if folder is None else _models(folder)
        if folder is None or not self.models:
            got = "no models/" if folder is None else f"no obj_NNNNNN.ply in {folder.name}/"
            raise SceneError(mismatch(self.path, got, SMALLEST_DATASET, "check that the download is complete"))
        self.infos = _infos(folder)
        self._models_folder = folder
        evaluated = self.path / _MODELS_EVAL
        self._evaluated = _models(evaluated) if evaluated.is_dir() else {}

    @property
    def name(self) -> str:
        """Name of the dataset: that of its folder."""
        return self.path.resolve().name

    def model(self, number: int) -> Path:
        """Model file of an object.

        Raises:
            SceneError: There is none.
        """
        if number not in self.models:
            have = ", ".join(map(str, list(self.models)[:_NAMED]))
            raise SceneError(
                mismatch(
                    self._models_folder / f"obj_{number:06d}.ply",
                    "no such file",
                    f"a model of every labelled object; there are {len(self.models)}, the first {have}",
                    "add the model, or leave the object out (--object)",
                )
            )
        return self.models[number]

    def evaluation_model(self, number: int) -> Path:
        """The model that errors are measured on: of `models_eval/` where there is one; raises as `model`."""
        return self._evaluated.get(number) or self.model(number)

    def diameter_m(self, number: int) -> float | None:
        """Diameter of an object as `models_info.json` says it [m]; None where it does not."""
        info = self.infos.get(number)
        return None if info is None else info.diameter_m


class SceneAsDataset(BopDataset):
    """A single scene as a dataset of one, with the models inside its folder if there are any.

    Args:
        path: The scene folder.

    Raises:
        SceneError: It is none.
    """

    def __init__(self, path: Path | str) -> None:
        scene = Path(path)
        if not scene.is_dir():
            raise SceneError(mismatch(scene, "no such folder", "a BOP scene or dataset folder", "check the path"))
        check_complete(scene)
        self.path, self.split = scene.parent, ""
        self.scenes = {scene.resolve().name: scene}
        self._models_folder = scene / _MODELS[0]
        self.models = _models(self._models_folder) if self._models_folder.is_dir() else {}
        self.infos = _infos(self._models_folder)
        self._evaluated = {}

    @property
    def name(self) -> str:
        """Name of the scene."""
        return next(iter(self.scenes))


def labelled_counts(scene: BopScene) -> dict[int, int]:
    """The most instances of every labelled object in one image, by number; empty without labels."""
    most: Counter[int] = Counter()
    for frame_id in scene.frame_ids if scene.has_ground_truth else ():
        most |= Counter(label.object_id for label in scene.ground_truth(frame_id))
    return dict(sorted(most.items()))


def check_images(scene: BopScene) -> None:
    """Refuse a scene whose camera file names images that are not there, in colour or in depth.

    Raises:
        SceneError: Names the first of them and how many there are.
    """
    missing = [scene.colour_folder / f"{number:06d}.png" for number in scene.camera_ids if number not in scene]
    depths = (depth_path(scene.depth_folder, number) for number in scene.frame_ids)
    missing += [path for path in depths if not path.is_file()]
    if missing:
        got = f"no such file, and {len(missing)} like it are missing" if len(missing) > 1 else "no such file"
        remedy = f"add what is missing, or take the image out of {scene.path.name}'s camera file"
        raise SceneError(mismatch(missing[0], got, "colour and depth of every image", remedy))


def _choose_split(path: Path, split: str | None) -> str:
    found = split_names(path) if path.is_dir() else []
    if split is not None and split in found:
        return split
    if not found:
        raise SceneError(mismatch(path, "no scene", SMALLEST_DATASET, "check that the download is complete"))
    if split is None and _TEST in found:
        return _TEST
    if split is None and len(found) == 1:
        return found[0]
    got = "nothing" if split is None else split
    raise SceneError(mismatch("--split", got, f"one of {', '.join(found)}", f"name a split of {path.name}"))


def _scene_order(folder: Path) -> tuple[int, str]:
    return (int(folder.name) if folder.name.isdecimal() else -1, folder.name)


def _models(folder: Path) -> dict[int, Path]:
    matched = ((_MODEL_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match.group(1)), path) for match, path in matched if match is not None))


def _infos(folder: Path) -> dict[int, ModelInfo]:
    path = folder / MODELS_INFO
    return read_models_info(path) if path.is_file() else {}
