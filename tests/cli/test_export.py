"""`storm-edge export` and `build` as a user runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.engines.tensorrt import package

RECIPES = Path(__file__).resolve().parents[2] / "export"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from storm_edge.export.recipe import read_recipe
    from storm_edge.export.run import ExportOptions, export_bundle

    out = tmp_path_factory.mktemp("export") / "mine"
    export_bundle([read_recipe(RECIPES / "nano-score.yaml")], out, name="mine", options=ExportOptions(held_out=4))
    return out


def test_export_says_what_it_made(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("export", RECIPES / "nano-score.yaml", "--out", tmp_path / "b", "--held-out", 4)
    assert ended.status == 0
    assert "score_attention  fp16" in ended.out
    assert "report.html" in ended.out


def test_build_compiles_for_rtx_and_checks(storm_edge: Command, bundle: Path, tmp_path: Path) -> None:
    package("tensorrt_rtx")
    build = ("build", bundle, "--out", tmp_path, "--backend", "tensorrt_rtx", "--target", "sm89")
    before = storm_edge(*build, "--check")
    assert before.status == 1
    assert "score_features   missing: never built" in before.out
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
    path = copied / "fp16" / "score_features.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    package("tensorrt_rtx")
    ended = storm_edge("build", copied, "--target", "sm86", "--backend", "tensorrt_rtx", "--out", tmp_path / "e")
    assert ended.status == 1
    assert "score_features.onnx: got sha256" in ended.err
