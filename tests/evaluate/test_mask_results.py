"""Written answers against a scene: right, missed, absent, and files that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.bop.images import mask_name, write_mask
from storm_edge.bop.scene import BopScene
from storm_edge.errors import FrameError, InputError, SceneError
from storm_edge.evaluate.mask_results import evaluate_mask_scene, read_mask_results
from storm_edge.evaluate.masks import score_masks
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from tests.tiny_scene import MODEL, write_tiny_scene

NAME = "obj_000003"


@pytest.fixture(scope="module")
def scene_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_scene(tmp_path_factory.mktemp("tiny") / "000001", frame_count=3)


@pytest.fixture(scope="module")
def thing(scene_path: Path) -> ObjectBundle:
    return onboard(scene_path / MODEL, "mm", view_subdivisions=0)


def entry(frame: int, *, found: bool = True, score: float = 0.9) -> dict[str, Any]:
    mask = f"masks/{mask_name(frame, 0)}" if found else None
    box = [0, 0, 1, 1] if found else None
    return {
        "frame": frame, "object": NAME, "index": 0, "found": found,
        "score": score, "box": box, "mask": mask, "time_ms": 10.0,
    }  # fmt: skip


def write_run(folder: Path, entries: list[dict[str, Any]], masks: dict[int, np.ndarray], **more: Any) -> Path:
    (folder / "masks").mkdir(parents=True)
    for frame, mask in masks.items():
        write_mask(folder / "masks" / mask_name(frame, 0), mask)
    summary = {"results": entries, "encode_ms": {"0": 4.0}, "bundle": "nano", **more}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def edit_labels(scene_path: Path, copy: Path, change: Callable[[dict[str, Any]], object]) -> BopScene:
    """The scene under other labels, in a folder of links."""
    copy.mkdir()
    for item in scene_path.iterdir():
        (copy / item.name).symlink_to(item)
    labels = json.loads((scene_path / "scene_gt.json").read_text())
    change(labels)
    (copy / "scene_gt.json").unlink()
    (copy / "scene_gt.json").write_text(json.dumps(labels))
    return BopScene(copy)


def test_a_right_mask_and_a_miss(scene_path: Path, thing: ObjectBundle, tmp_path: Path) -> None:
    scene = BopScene(scene_path)
    run = write_run(tmp_path / "run", [entry(0), entry(1, found=False)], {0: scene.mask_visib(0)})
    judged = evaluate_mask_scene(scene, read_mask_results(run), [thing])
    (row,) = score_masks(judged.evaluations)
    assert (row.name, row.image_count, row.iou_mean, row.missed_share) == (NAME, 2, 0.5, 0.5)
    # Precision 1 up to recall 1/2: 51 of 101 recalls.
    assert row.ap == pytest.approx(51 / 101)
    assert row.time_mean_s == pytest.approx(0.012)  # 10 ms each, and 4 ms to encode the first image
    assert judged.unjudged_frames == []


def test_an_image_whose_labels_leave_it_out_holds_it_not(
    scene_path: Path, thing: ObjectBundle, tmp_path: Path
) -> None:
    scene = edit_labels(scene_path, tmp_path / "scene", lambda labels: labels.update({"1": [], "2": []}))
    run = write_run(
        tmp_path / "run", [entry(0), entry(1), entry(2, found=False)], dict.fromkeys((0, 1), scene.mask_visib(0))
    )
    (row,) = score_masks(evaluate_mask_scene(scene, read_mask_results(run), [thing]).evaluations)
    assert (row.absent_count, row.absent_right_share, row.missed_share) == (2, 0.5, 0.0)


def test_images_without_labels_or_masks_are_not_judged(scene_path: Path, thing: ObjectBundle, tmp_path: Path) -> None:
    scene = edit_labels(scene_path, tmp_path / "scene", lambda labels: labels.pop("1"))
    run = write_run(tmp_path / "run", [entry(0), entry(1)], dict.fromkeys((0, 1), scene.mask_visib(0)))
    judged = evaluate_mask_scene(scene, read_mask_results(run), [thing])
    assert ([j.frame_id for j in judged.evaluations], judged.unjudged_frames) == ([0], [1])
    only = write_run(tmp_path / "only", [entry(1)], {1: scene.mask_visib(0)})
    with pytest.raises(InputError, match="no image that could be judged"):
        evaluate_mask_scene(scene, read_mask_results(only), [thing])


def test_any_of_two_instances_may_be_found(scene_path: Path, thing: ObjectBundle, tmp_path: Path) -> None:
    scene = edit_labels(scene_path, tmp_path / "scene", lambda labels: labels["0"].append(labels["0"][0]))
    masks = tmp_path / "scene" / "mask_visib"
    kept = list(scene_path.glob("mask_visib/*"))
    masks.unlink()
    masks.mkdir()
    for path in kept:
        (masks / path.name).symlink_to(path)
    other = np.zeros(scene.mask_visib(0).shape, dtype=bool)
    other[:9, :9] = True
    write_mask(masks / mask_name(0, 1), other)
    run = write_run(tmp_path / "run", [entry(0)], {0: other})
    (row,) = score_masks(evaluate_mask_scene(scene, read_mask_results(run), [thing]).evaluations)
    assert (row.truth_count, row.missed_share) == (2, 0.5)
    assert row.ap == pytest.approx(51 / 101)
    second = {**entry(0), "object": f"{NAME}#2", "index": 1, "mask": "masks/second.png"}
    run = write_run(tmp_path / "both", [entry(0), second], {0: other})
    write_mask(run / "masks" / "second.png", scene.mask_visib(0))
    (row,) = score_masks(evaluate_mask_scene(scene, read_mask_results(run), [thing]).evaluations)
    assert (row.image_count, row.missed_share, row.ap) == (1, 0.0, 1.0)


def test_masks_that_do_not_fit_are_refused(scene_path: Path, thing: ObjectBundle, tmp_path: Path) -> None:
    scene = BopScene(scene_path)
    small = write_run(tmp_path / "small", [entry(0)], {0: np.ones((4, 4), dtype=bool)})
    with pytest.raises(FrameError, match=r"size \(4, 4\), expected \(72, 96\)"):
        evaluate_mask_scene(scene, read_mask_results(small), [thing])
    gone = write_run(tmp_path / "gone", [entry(0)], {})
    with pytest.raises(SceneError, match=r"000000_000000\.png: got no such file"):
        evaluate_mask_scene(scene, read_mask_results(gone), [thing])


def test_an_object_that_was_not_looked_for_is_named(scene_path: Path, thing: ObjectBundle, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [{**entry(0, found=False), "object": "mug"}], {})
    with pytest.raises(InputError, match="got objects mug, expected 'obj_000003'"):
        evaluate_mask_scene(BopScene(scene_path), read_mask_results(run), [thing])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no result"),
        ([{**entry(0), "colour": "red"}], r"results\.0\.colour: Extra inputs"),
        ([{**entry(0), "mask": None}], "found True and mask None in image 0"),
    ],
)
def test_a_summary_that_is_wrong_is_refused(entries: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_mask_results(write_run(tmp_path / "run", entries, {}))
    assert "\n" not in str(caught.value)


def test_a_folder_without_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"summary\.json: got No such file"):
        read_mask_results(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    (tmp_path / "summary.json").write_text('{"a":' * 99_999)
    with pytest.raises(InputError, match="nested too deeply"):
        read_mask_results(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        read_mask_results(tmp_path)


def test_a_summary_of_an_older_release_is_read_too(tmp_path: Path) -> None:
    """Until 0.1 the time to encode an image was called ``look_ms``."""
    run = write_run(tmp_path / "run", [entry(0, found=False)], {})
    new = read_mask_results(run)
    path = run / "summary.json"
    path.write_text(path.read_text().replace("encode_ms", "look_ms"))
    assert read_mask_results(run) == new
    assert new[0].time_s == pytest.approx(0.014)
