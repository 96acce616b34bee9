"""Where a dataset has its models and scenes, and how it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storm_edge.bop.dataset import BopDataset, check_images, is_dataset, labelled_counts
from storm_edge.bop.scene import BopScene
from storm_edge.errors import SceneError
from tests.tiny_dataset import SCENES, write_tiny_dataset


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("written") / "tiny")


def test_scenes_models_and_labels_are_listed(written: Path) -> None:
    dataset = BopDataset(written)
    assert (dataset.name, dataset.split) == ("tiny", "test")
    assert list(dataset.scenes) == list(SCENES)
    assert list(dataset.models) == [1, 2, 3]
    assert dataset.evaluation_model(2) == dataset.model(2) == written / "models" / "obj_000002.ply"
    assert labelled_counts(BopScene(dataset.scenes["000010"])) == {1: 1, 3: 1}
    assert is_dataset(written)
    assert not is_dataset(dataset.scenes["000001"])
    assert not is_dataset(written / "nothing")


def test_evaluation_models_come_first_where_there_are_any(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "d")
    shutil.copytree(tmp_path / "d" / "models", tmp_path / "d" / "models_eval")
    assert BopDataset(tmp_path / "d").evaluation_model(1).parent.name == "models_eval"


def test_a_split_is_named_where_there_are_several(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "d")
    (tmp_path / "d" / "test").rename(tmp_path / "d" / "val")
    assert BopDataset(tmp_path / "d").split == "val"
    shutil.copytree(tmp_path / "d" / "val", tmp_path / "d" / "train")
    with pytest.raises(SceneError, match="--split: got nothing, expected one of train, val"):
        BopDataset(tmp_path / "d")
    assert BopDataset(tmp_path / "d", split="train").split == "train"
    with pytest.raises(SceneError, match="--split: got tset"):
        BopDataset(tmp_path / "d", split="tset")


@pytest.mark.parametrize(("lost", "said"), [("models", "no models/"), ("test", "no scene")])
def test_what_is_missing_is_named(written: Path, tmp_path: Path, lost: str, said: str) -> None:
    shutil.copytree(written, tmp_path / "d")
    shutil.rmtree(tmp_path / "d" / lost)
    with pytest.raises(SceneError, match=said):
        BopDataset(tmp_path / "d")


@pytest.mark.parametrize("kind", ["rgb", "depth"])
def test_images_that_the_camera_file_names_must_be_there(written: Path, tmp_path: Path, kind: str) -> None:
    scene = tmp_path / "000001"
    shutil.copytree(written / "test" / "000001", scene)
    check_images(BopScene(scene))
    (scene / kind / "000001.png").unlink()
    with pytest.raises(SceneError, match=rf"{kind}/000001.png: got no such file"):
        check_images(BopScene(scene))


def test_a_model_that_is_missing_is_named(written: Path) -> None:
    with pytest.raises(SceneError, match=r"obj_000007.ply: got no such file"):
        BopDataset(written).model(7)
