from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_poses(storm_edge: Command, scene: Path, model: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = [predictions, "--scene", scene, "--object", model, "--unit", "mm", "--out", out]
    ended = storm_edge("eval", "poses", *arguments)
    assert (ended.status, ended.err) == (0, "")
    assert "obj_000003" in ended.out
    assert "ADD < 0.1 d [%]" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    [score] = json.loads((out / "report.json").read_text())["scores"]
    assert (score["label_count"], score["add_recall"]) == (2, 1.0)


def test_poses_by_the_rules_of_others(
    storm_edge: Command, scene: Path, model: Path, predictions: Path, tmp_path: Path
) -> None:
    """The report and the table say which rules were used."""
    out = tmp_path / "report"
    arguments = [predictions, "--scene", scene, "--object", model, "--unit", "mm", "--out", out]
    rules = ["--add-s-from", "prediction", "--auc", "storm", "--missing", "leave-out"]
    ended = storm_edge("eval", "poses", *arguments, *rules)
    assert (ended.status, ended.err) == (0, "")
    assert "ADD AUC to 0.1 d [%]" in ended.out
    assert "ADD-S from the predicted points to the nearest true ones" in ended.out
    assert "labels without a pose are left out" in ended.out
    report = json.loads((out / "report.json").read_text())
    assert report["rules"] == {"add_s_from": "prediction", "auc": "storm", "missing": "leave-out"}


def test_tracking(storm_edge: Command, scene: Path, model: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = [predictions, "--scene", scene, "--object", model, "--unit", "mm", "--out", out]
    ended = storm_edge("eval", "tracking", *arguments)
    assert (ended.status, ended.err) == (0, "")
    assert "a pose in 2 of 2 frames" in ended.out
    assert "0 losses" in ended.out
    assert "loss detection: 0 losses detected, 0 missed; no loss; 0.00 false alarms" in ended.out
    [report] = json.loads((out / "report.json").read_text())["objects"]
    assert (report["pose_count"], report["loss_count"]) == (2, 0)


def test_pseudo_labels_are_used_where_there_are_no_others_and_it_says_so(
    storm_edge: Command, scene: Path, model: Path, predictions: Path, tmp_path: Path
) -> None:
    (scene / "scene_gt.json").rename(scene / "scene_gt_pseudo.json")
    arguments = [predictions, "--scene", scene, "--object", model, "--unit", "mm", "--out", tmp_path / "report"]
    ended = storm_edge("eval", "poses", *arguments)
    assert ended.status == 0
    assert "scene_gt_pseudo.json are used; they are estimates" in ended.err


def test_the_wrong_scene_is_refused(
    storm_edge: Command, scene: Path, model: Path, predictions: Path, tmp_path: Path
) -> None:
    """By images that it does not have, and by the name that the run left; nothing is written."""
    options = ["--scene", scene, "--object", model, "--unit", "mm", "--out", tmp_path / "report"]
    lines = predictions.read_text().splitlines()
    run = tmp_path / "run"
    run.mkdir()
    (run / "poses.jsonl").write_text(predictions.read_text())
    (run / "summary.json").write_text(json.dumps({"scene": "another"}))
    predictions.write_text("\n".join([*lines, lines[-1].replace('"frame": 1', '"frame": 77')]))
    for given, got in ((predictions, "the first is 77"), (run, "results of scene 'another'")):
        ended = storm_edge("eval", "tracking", given, *options)
        assert ended.status == 1
        assert got in ended.err
        assert ended.err.count("\n") == 1
    assert not (tmp_path / "report").exists()
