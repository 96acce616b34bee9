from __future__ import annotations

from pathlib import Path

import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.export.recipe import read_recipe
from tests.cli.conftest import Command
from tests.engines import tiny
from tests.full_tier import write_full_bundle

RECIPES = Path(__file__).resolve().parents[2] / "export"


def test_what_a_folder_lacks_ends_the_command_in_one_line(storm_edge: Command, tmp_path: Path) -> None:
    weights, out = tmp_path / "weights", tmp_path / "out"
    weights.mkdir()
    options = ["--weights", weights, "--out", out, "--recipes", RECIPES]
    ended = storm_edge("bundle", "make", "full", *options)
    assert ended.status == 1
    assert [line.split(":")[0] for line in ended.out.splitlines()] == ["refine", "score", "som", "tom", "sam2"]
    assert ended.err.count("\n") == 1
    assert "nothing of refine, score, som, tom, sam2" in ended.err
    assert not out.exists()
    ended = storm_edge("bundle", "make", "full", *options, "--without", "sam")
    assert (ended.status, ended.out) == (1, "")
    assert "--without: got sam, expected one of refine, score, som, tom, sam2" in ended.err


def test_what_is_there_becomes_a_bundle(storm_edge: Command, tmp_path: Path) -> None:
    """The recipe of NVIDIA's ScoreNet, at a size that takes no time."""
    weights, recipes, out = tmp_path / "weights", tmp_path / "export", tmp_path / "out"
    weights.mkdir()
    (recipes / "variants").mkdir(parents=True)
    tiny.score_joint(weights / "score_model.onnx", size_px=32)
    text = (RECIPES / "variants" / "nvidia-score.yaml").read_text().replace("size_px: 160", "size_px: 32")
    (recipes / "variants" / "nvidia-score.yaml").write_text(text)
    without = [word for network in ("refine", "som", "tom", "sam2") for word in ("--without", network)]
    options = ["--weights", weights, "--out", out, "--recipes", recipes, *without]
    ended = storm_edge("bundle", "make", "full", *options, "--check")
    assert (ended.status, out.exists()) == (0, False)
    assert ended.out.startswith("score: score_model.onnx (NVIDIA's terms")
    ended = storm_edge("bundle", "make", "full", *options)
    assert ended.status == 0
    assert f"storm-edge doctor --bundle {out}" in ended.err
    bundle = NetworkBundle.load(out)
    assert (bundle.name, bundle.tier, list(bundle.networks)) == ("full", "full", ["score"])
    assert read_recipe(recipes / "variants" / "nvidia-score.yaml").tier == "full"


@pytest.mark.parametrize("pose", [True, False])
def test_doctor_says_what_each_schedule_would_ask(storm_edge: Command, tmp_path: Path, pose: bool) -> None:
    folder = write_full_bundle(tmp_path / "full", pose=pose)
    ended = storm_edge("doctor", "--bundle", folder)
    assert ended.status == 0
    assert "network som_head" in ended.out
    if pose:
        assert "schedule hybrid (default) idle: sam2_encoder, sam2_decoder" in ended.out
        assert "schedule foundationpose  idle: sam2_encoder, sam2_decoder" in ended.out
    else:
        assert "schedule geometry (default) idle: sam2_encoder, sam2_decoder" in ended.out
        assert "schedule foundationpose with bundle full: got no refine" in ended.out
