from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.training_data.tiny_dataset import write_tiny_dataset


def test_prepare_says_what_it_made_and_goes_on_only_when_told(storm_edge: Command, tmp_path: Path) -> None:
    dataset, out = write_tiny_dataset(tmp_path / "tiny", scenes=1), tmp_path / "out"
    ended = storm_edge("data", "prepare", dataset, "--out", out)
    assert (ended.status, ended.out) == (0, f"{out}: 2 masks of 1 objects in 2 pictures\n")
    ended = storm_edge("data", "prepare", dataset, "--out", out)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert "--resume" in ended.err
    assert storm_edge("data", "prepare", dataset, "--out", out, "--resume").status == 0


def test_views_stay_where_they_are(storm_edge: Command, tmp_path: Path) -> None:
    dataset = write_tiny_dataset(tmp_path / "tiny", scenes=1, frames=1)
    first = storm_edge("data", "views", dataset / "models", "--out", tmp_path / "views")
    again = storm_edge("data", "views", dataset / "models", "--out", tmp_path / "views")
    assert first.out.endswith("nature: rendered\n")
    assert again.out.endswith("nature: there already\n")
    assert len(list((tmp_path / "views" / "obj_000003" / "nature").iterdir())) == 16
    ended = storm_edge("data", "views", tmp_path / "tiny", "--out", tmp_path / "views")
    assert (ended.status, ended.err.count("\n")) == (1, 1)


def test_pairs_of_a_run(storm_edge: Command, scene: Path, model: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    arguments = [predictions, "--scene", scene, "--object", model, "--unit", "mm", "--out", out, "--lag", "0"]
    ended = storm_edge("data", "pairs", *arguments)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{out}: 1 pairs of right poses, 0 of lost ones, by ground truth\n"
    (line,) = (out / "pairs.jsonl").read_text().splitlines()
    assert json.loads(line) == {"a": "crops/000001_obj_000003.png", "b": "crops/000000_obj_000003.png", "label": 1}
    assert storm_edge("data", "pairs", *arguments).status == 0  # in the place of the older result
    assert len(list((out / "crops").iterdir())) == 2
