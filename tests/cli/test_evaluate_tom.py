"""The verifier over pairs of crops, with a full bundle of tiny networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.images import write_png
from tests.cli.conftest import Command
from tests.full_tier import write_full_bundle


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_bundle(tmp_path_factory.mktemp("full"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Orange crops beside orange ones are the same, beside blue ones not."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    colours = {"orange": (255, 128, 0), "amber": (245, 120, 10), "blue": (0, 0, 255)}
    for name, colour in colours.items():
        write_png(folder / f"{name}.png", np.full((50, 50, 3), colour, dtype=np.uint8))
    lines = [("amber", "orange", 1), ("blue", "orange", 0), ("orange", "orange", 1), ("orange", "blue", 0)]
    text = "".join(json.dumps({"a": f"{a}.png", "b": f"{b}.png", "label": label}) + "\n" for a, b, label in lines)
    (folder / "pairs.jsonl").write_text(text)
    return folder


def test_pairs_are_judged(storm_edge: Command, full: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    ended = storm_edge("eval", "tom", pairs, "--bundle", full, "--threshold", 0.7, "--out", out)
    assert (ended.status, ended.err) == (0, "")
    assert "4 pairs, 2 of them the same: accuracy" in ended.out
    report = json.loads((out / "report.json").read_text())
    assert report["thresholds"] == {"given": 0.7, "decision": pytest.approx(0.9), "half": 0.5}
    assert report["auroc"] == 1.0
    assert report["time_ms"]["count"] == 4
    scores = [pair["score"] for pair in report["pairs"]]
    assert min(scores[0], scores[2]) > max(scores[1], scores[3])
    right = [(score >= 0.5) == bool(pair["label"]) for score, pair in zip(scores, report["pairs"], strict=True)]
    assert report["accuracy"]["half"] == np.mean(right)


def test_what_cannot_be_judged_is_one_line(storm_edge: Command, full: Path, pairs: Path, tmp_path: Path) -> None:
    torn, lone = tmp_path / "torn.jsonl", tmp_path / "lone.jsonl"
    torn.write_text('{"a": 1}\n')
    lone.write_text('{"a": "x.png", "b": "y.png", "label": 1}\n')
    cases = [
        (pairs, "nano", "tier nano"),
        (pairs, "none", "--bundle: got none"),
        (torn, full, "torn.jsonl line 1"),
        (lone, full, "no picture"),
        (tmp_path / "nothing.jsonl", full, "nothing.jsonl"),
    ]
    for given, bundle, said in cases:
        ended = storm_edge("eval", "tom", given, "--bundle", bundle, "--out", tmp_path / "report")
        assert (ended.status, ended.err.count("\n")) == (1, 1)
        assert said in ended.err
        assert not (tmp_path / "report").exists()
