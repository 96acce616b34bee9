"""`data prepare`: a BOP split to a training folder, resumable, whole or not finished."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.images import read_mask, read_rgb, write_mask
from storm_edge.errors import FrameError, OutputError, SceneError
from storm_edge.training_data import prepare as module
from storm_edge.training_data.prepare import ANNOTATIONS, Prepared, PrepareOptions, prepare
from storm_edge.training_data.view_pictures import view_paths
from tests.training_data.tiny_dataset import SECOND, SPLIT, write_tiny_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", scenes=2, frames=2, objects=2)


def asked(dataset: Path) -> PrepareOptions:
    return PrepareOptions(dataset=dataset, split=SPLIT, models=dataset / "models")


def test_folder_holds_each_picture_once_with_masks_and_views(dataset: Path, tmp_path: Path) -> None:
    made = prepare(asked(dataset), tmp_path / "out")
    assert made == Prepared(samples=4, images=4, objects=2, left_out=0)
    samples = json.loads((tmp_path / "out" / ANNOTATIONS).read_text())["samples"]
    assert [s["object"] for s in samples] == [3, 3, SECOND, SECOND]
    first = dataset / SPLIT / "000001"
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "out" / samples[0]["image"]), read_rgb(first / "rgb" / "000000.png")
    )
    mask = read_mask(tmp_path / "out" / samples[0]["mask"])
    np.testing.assert_array_equal(mask, read_mask(first / "mask_visib" / "000000_000000.png"))
    assert samples[0]["pixels"] == mask.sum()
    views = [read_rgb(path) for path in view_paths(tmp_path / "out" / "render" / "obj_000003", name="obj_000003")]
    assert np.stack(views).shape == (16, 224, 224, 3)
    assert all(80 < view.astype(float).mean() < 180 for view in views)  # grey around a coloured box


def test_killed_work_goes_on_and_ends_as_if_it_had_not_been(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(asked(dataset), tmp_path / "whole")
    write, scenes = module._write_scene, []

    def killed(out: Path, scene: str, *rest: object) -> None:
        scenes.append(scene)
        if len(scenes) == 2:
            raise KeyboardInterrupt
        write(out, scene, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_write_scene", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(asked(dataset), tmp_path / "out")
    assert not (tmp_path / "out" / ANNOTATIONS).exists()
    (tmp_path / "out" / "img" / ".000002_000000.png.part-1").write_bytes(b"torn")
    with pytest.raises(OutputError, match="add --resume"):
        prepare(asked(dataset), tmp_path / "out")
    prepare(asked(dataset), tmp_path / "out", resume=True)
    assert scenes == ["000001", "000002", "000002"][: len(scenes)]
    files = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*")}
    assert files == {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*")}
    for name in files:
        if (tmp_path / "out" / name).is_file():
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_options_and_other_folders_are_refused(dataset: Path, tmp_path: Path) -> None:
    prepare(asked(dataset), tmp_path / "out")
    with pytest.raises(OutputError, match="min_pixels 1"):
        prepare(replace(asked(dataset), min_pixels=9), tmp_path / "out", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(OutputError, match="other files"):
        prepare(asked(dataset), tmp_path / "mine", resume=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_what_is_missing_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no such folder"):
        prepare(replace(asked(dataset), split="val"), tmp_path / "out")
    with pytest.raises(SceneError, match="no scene 7"):
        prepare(replace(asked(dataset), scenes=[7]), tmp_path / "out")
    with pytest.raises(SceneError, match="no obj_000003"):
        prepare(replace(asked(dataset), models=tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    broken = write_tiny_dataset(tmp_path / "broken", scenes=1)
    scene = broken / SPLIT / "000001"
    (scene / "mask_visib" / "000001_000000.png").unlink()
    with pytest.raises(SceneError, match="000001_000000"):
        prepare(asked(broken), tmp_path / "out")
    write_mask(scene / "mask_visib" / "000001_000000.png", np.ones((3, 3), dtype=bool))
    with pytest.raises(FrameError, match="size"):
        prepare(asked(broken), tmp_path / "out", resume=True)
    (scene / "rgb" / "000001.png").unlink()
    with pytest.raises(SceneError, match="no picture 000001"):
        prepare(asked(broken), tmp_path / "out", resume=True)


def test_labels_with_nothing_visible_are_left_out_and_counted(tmp_path: Path) -> None:
    hidden = write_tiny_dataset(tmp_path / "hidden", scenes=1)
    mask = hidden / SPLIT / "000001" / "mask_visib" / "000000_000000.png"
    write_mask(mask, np.zeros_like(read_mask(mask)))
    made = prepare(asked(hidden), tmp_path / "out")
    assert (made.samples, made.images, made.left_out) == (1, 1, 1)


def test_views_of_another_object_or_model_are_refused(dataset: Path, tmp_path: Path) -> None:
    prepare(asked(dataset), tmp_path / "out")
    said = tmp_path / "out" / "render" / "obj_000003" / "views.json"
    content = json.loads(said.read_text())
    for key, value, found in (("object", "obj_000001", "of obj_000001"), ("model_sha256", "0", "another state")):
        said.write_text(json.dumps({**content, key: value}))
        with pytest.raises(SceneError, match=found):
            prepare(asked(dataset), tmp_path / "out", resume=True)
