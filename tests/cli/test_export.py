"""`storm-edge export` and `build` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.engines.tensorrt import package
from tests.nano_with_score import write_nano_without_score

RECIPES = Path(__file__).resolve().parents[2] / "export"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from storm_edge.export.recipe import read_recipe
    from storm_edge.export.run import ExportOptions, export_bundle

    out = tmp_path_factory.mktemp("export") / "mine"
    export_bundle([read_recipe(RECIPES / "nano-tom.yaml")], out, name="mine", options=ExportOptions(held_out=4))
    return out


def test_export_says_what_it_made(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("export", RECIPES / "nano-tom.yaml", "--out", tmp_path / "b", "--held-out", 4)
    assert ended.status == 0
    assert "tom_compare      fp16" in ended.out
    assert "report.html" in ended.out


def test_build_compiles_for_rtx_and_checks(storm_edge: Command, bundle: Path, tmp_path: Path) -> None:
    package("tensorrt_rtx")
    build = ("build", bundle, "--out", tmp_path, "--backend", "tensorrt_rtx", "--target", "sm89")
    before = storm_edge(*build, "--check")
    assert before.status == 1
    assert "tom_encode       missing: never built" in before.out
    first = storm_edge(*build)
    assert first.status == 0, first.err
    assert "2 engines built, 0 were fresh" in first.out
    assert "0 engines built, 2 were fresh" in storm_edge(*build).out
    assert storm_edge(*build, "--check").status == 0
    other = storm_edge(*build, "--workspace-mib", 64, "--check")
    assert "stale: workspace changed from 1024 to 64" in other.out


def test_what_build_cannot_do_is_one_line(storm_edge: Command, bundle: Path, tmp_path: Path) -> None:
    package("tensorrt_rtx")
    for arguments, words in (
        ((bundle, "--target", "sm87"), "build on that board"),
        ((bundle, "--precision", "int8-fp16", "--target", "sm86"), "export with --calibration"),
        ((tmp_path, "--target", "sm86"), "export it with storm-edge export"),
    ):
        ended = storm_edge("build", *arguments, "--backend", "tensorrt_rtx", "--out", tmp_path / "engines")
        assert ended.status == 1
        assert words in ended.err
        assert ended.err.count("\n") == 1
    assert not (tmp_path / "engines").exists()


def test_an_onnx_file_that_was_edited_is_not_built(storm_edge: Command, bundle: Path, tmp_path: Path) -> None:
    import shutil

    copied = tmp_path / "mine"
    shutil.copytree(bundle, copied)
    path = copied / "fp16" / "tom_encode.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    package("tensorrt_rtx")
    ended = storm_edge("build", copied, "--target", "sm86", "--backend", "tensorrt_rtx", "--out", tmp_path / "e")
    assert ended.status == 1
    assert "tom_encode.onnx: got sha256" in ended.err


def test_a_scorenet_is_trained_and_exported_into_a_bundle_that_hybrid_asks(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `export/nano-score.yaml`, but of a checkpoint; one step on toy sets, the gates of FP16 as they are."""
    import shutil

    from storm_edge.train import run
    from tests.train.toy import ToySets

    monkeypatch.setattr(run, "source_of", lambda network, config: ToySets)
    bare = write_nano_without_score(tmp_path / "bare")
    sizes = ("--steps", 1, "--batch", 24, "--pool", 24, "--held-out", 12, "--threads", 1)
    trained = storm_edge("train", "score", "--start-from", bare, "--out", tmp_path / "runs" / "score", *sizes)
    assert trained.status == 0, trained.err
    assert "bundle bare has no ScoreNet: it starts with the trunk of RefineNet" in trained.err
    shutil.copytree(RECIPES, tmp_path / "export")
    recipes = tmp_path / "export" / "nano-refine.yaml", tmp_path / "export" / "nano-score.yaml"
    of_run = recipes[1].read_text().replace("{bundle: nano}", "{checkpoint: ../runs/score/checkpoint.pt}")
    recipes[1].write_text(of_run)
    bundle = tmp_path / "mine"
    exported = storm_edge("export", *recipes, "--out", bundle, "--held-out", 4)
    assert exported.status == 0, exported.err
    said = storm_edge("doctor", "--bundle", bundle)
    assert said.status == 0
    assert "schedule hybrid          asks all" in said.out
    options = ("--object", thing, "--init", "mask", "--no-pictures", "--schedule", "hybrid")
    tracked = storm_edge("track", scene, *options, "--bundle", bundle, "--out", tmp_path / "out")
    assert tracked.status == 0, tracked.err
    launches = json.loads((tmp_path / "out" / "summary.json").read_text())["engines"]["launches"]
    assert all(launches[graph] > 0 for graph in ("refine", "score_features", "score_attention"))
    refused = storm_edge("track", scene, *options, "--bundle", bare, "--out", tmp_path / "other")
    assert refused.status == 1
    assert "schedule hybrid with bundle bare: got no score_attention, score_features" in refused.err
    assert "--schedule geometry-first" in refused.err
    assert not (tmp_path / "other").exists()
