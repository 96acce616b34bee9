from __future__ import annotations

import json
from pathlib import Path

import pytest

from storm_edge.errors import InputError
from storm_edge.training_data.som_samples import read_samples
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


def test_objects_are_described_once_and_their_words_encoded(
    storm_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "speaking_for_tests.py").write_text(
        "def see(picture): return 'a box'\ndef length(text): return [float(len(text)), 1.0]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    dataset = write_tiny_dataset(tmp_path / "tiny", scenes=2, frames=1, objects=2)
    out = tmp_path / "out"
    assert storm_edge("data", "prepare", dataset, "--out", out).status == 0
    (out / "descriptions.json").write_text('{"obj_000003": "my own words", "obj_000009": null}')
    speak = ["--captioner", "speaking_for_tests:see", "--text-encoder", "speaking_for_tests:length"]
    ended = storm_edge("data", "describe", out, *speak)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"obj_000005: a box\n{out}: 2 descriptions as vectors of 2 numbers\n"
    assert json.loads((out / "descriptions.json").read_text())["obj_000003"] == "my own words"
    assert {s.name: s.context for s in read_samples(out)} == {"obj_000003": (12.0, 1.0), "obj_000005": (5.0, 1.0)}
    (out / "contexts.json").write_text('{"obj_000003": [1], "obj_000005": [1, 2]}')
    with pytest.raises(InputError, match="several lengths"):
        read_samples(out)
    for arguments, found in (([], "give one"), (["--text-encoder", "speaking_for_tests:length"], "write it")):
        refused = storm_edge("data", "describe", dataset, *arguments)
        assert (refused.status, refused.err.count("\n")) == (1, 1)
        assert found in refused.err
