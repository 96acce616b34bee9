"""A bundle from recipes: it appears whole, runs, and only if its gates passed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import CheckpointError, ConfigError, EngineError
from storm_edge.export.recipe import Recipe, read_recipe
from storm_edge.export.results import PAGE, REPORT
from storm_edge.export.run import ExportOptions, export_bundle
from tests.engines import tiny

RECIPES = Path(__file__).resolve().parents[2] / "export"


@pytest.fixture(scope="module")
def refine() -> Recipe:
    return read_recipe(RECIPES / "nano-refine.yaml")


@pytest.fixture(scope="module")
def exported(refine: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "bundle"
    export_bundle([refine], out, name="mine", options=ExportOptions(held_out=8))
    return out


def test_every_precision_is_a_bundle_that_runs(exported: Path, rng: np.random.Generator) -> None:
    pair = {k: rng.random((3, 6, 80, 80), dtype=np.float32) for k in ("rendered", "observed")}
    outputs = []
    for folder, name in ((exported, "mine"), (exported / "fp16", "mine-fp16")):
        bundle = NetworkBundle.load(folder)
        assert bundle.name == name
        outputs.append(bundle.open("refine").run(pair))
    np.testing.assert_allclose(outputs[0]["trans"], outputs[1]["trans"], atol=2e-3)


def test_the_report_says_what_was_measured(exported: Path) -> None:
    report = json.loads((exported / REPORT).read_text())
    (network,) = report["networks"]
    assert network["parity"]["refine"][0] < 1e-4
    assert network["parity"]["refine"][1] == "onnx.reference"
    fp32, fp16 = network["graphs"]
    assert fp16["size_bytes"] < 0.6 * fp32["size_bytes"]
    assert fp16["drift"]["trans"]["cosine"] > 0.999
    shift, turn = network["metrics"]["fp16"]
    assert shift["reduced"] < 0.5
    assert turn["reduced"] < 0.1
    page = (exported / PAGE).read_text()
    assert "Every gate passed" in page
    assert "data:image/png;base64" in page
    assert str(RECIPES) not in page + (exported / REPORT).read_text()


def test_a_gate_that_fails_leaves_the_report_and_the_old_bundle(
    refine: Recipe, exported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    export_bundle([refine], out, name="old", options=ExportOptions(held_out=4))
    strict = refine.gates["fp16"].model_copy(update={"pose_mm": 1e-9})
    with pytest.raises(EngineError, match=r"pose change, translation.*beyond 1e-09.*bundle\.failed"):
        export_bundle(
            [refine.model_copy(update={"gates": {"fp16": strict}})],
            out,
            name="new",
            options=ExportOptions(held_out=4),
        )
    assert NetworkBundle.load(out).name == "old"
    assert "pose change" in (tmp_path / "bundle.failed" / PAGE).read_text()


def test_files_as_others_publish_them_are_taken_and_stay_named(tmp_path: Path, rng: np.random.Generator) -> None:
    names = ("input1", "input2", "output1", "output2")
    tiny.refine(tmp_path / "refine_model.onnx", size_px=32, names=names, channels_last=True)
    (tmp_path / "recipe.yaml").write_text(
        """
        network: refine
        tier: full
        size_px: 32
        preset: parity
        source:
          onnx: {refine: refine_model.onnx}
          layout: nhwc
          tensors: {refine: {rendered: input1, observed: input2, trans: output1, rot: output2}}
        graphs: {refine: {}}
        """
    )
    export_bundle(
        [read_recipe(tmp_path / "recipe.yaml")],
        tmp_path / "bundle",
        name="published",
        options=ExportOptions(held_out=4),
    )
    pair = {k: rng.random((2, 6, 32, 32), dtype=np.float32) for k in ("rendered", "observed")}
    for folder, tolerance in ((".", 1e-6), ("fp16", 1e-3)):
        out = NetworkBundle.load(tmp_path / "bundle" / folder).open("refine").run(pair)
        wanted = (pair["observed"] - pair["rendered"]).mean((2, 3))[:, 3:]
        np.testing.assert_allclose(out["trans"], wanted, atol=tolerance)


def test_a_published_file_without_its_data_is_refused(tmp_path: Path) -> None:
    import onnx

    path = tiny.score_attention(tmp_path / "a.onnx")
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="a.data", size_threshold=0)
    (tmp_path / "a.data").unlink()
    _write_published(tmp_path, path)
    with pytest.raises(EngineError, match="with all its data"):
        export_bundle(
            [read_recipe(tmp_path / "r.yaml")], tmp_path / "bundle", name="x", options=ExportOptions(held_out=4)
        )
    assert not (tmp_path / "bundle").exists()


def test_an_operation_nobody_has_is_refused(tmp_path: Path) -> None:
    from onnx import helper

    node = helper.make_node("Frobnicate", ["rendered"], ["trans"], domain="nowhere")
    model = helper.make_model(
        helper.make_graph(
            [node],
            "odd",
            [helper.make_tensor_value_info("rendered", 1, ["n", 3])],
            [helper.make_tensor_value_info("trans", 1, ["n", 3])],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)],
    )
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString())
    _write_published(tmp_path, tmp_path / "odd.onnx")
    with pytest.raises(EngineError, match="operations ONNX Runtime has"):
        export_bundle(
            [read_recipe(tmp_path / "r.yaml")], tmp_path / "bundle", name="x", options=ExportOptions(held_out=4)
        )


def _write_published(folder: Path, path: Path) -> None:
    (folder / "r.yaml").write_text(
        f"network: refine\ntier: full\nsource: {{onnx: {{refine: {path.name}}}}}\ngraphs: {{refine: {{}}}}\n"
    )


def test_a_checkpoint_of_another_network_is_refused(refine: Recipe, tmp_path: Path) -> None:
    torch.save({"network": "tom", "nano": {}, "ema": {}}, tmp_path / "tom.pt")
    source = refine.source.model_copy(update={"bundle": None, "checkpoint": tmp_path / "tom.pt"})
    with pytest.raises(CheckpointError, match=r"tom\.pt: got network tom, expected refine"):
        export_bundle([refine.model_copy(update={"source": source})], tmp_path / "bundle", name="x")
    official = read_recipe(RECIPES / "full-refine.yaml")
    torch.save({"model": {"some.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    source = official.source.model_copy(update={"checkpoint": tmp_path / "other.pth"})
    with pytest.raises(CheckpointError, match=r"missing .* expected the \d+ entries of RefineNet"):
        export_bundle([official.model_copy(update={"source": source})], tmp_path / "bundle", name="x")
    assert not (tmp_path / "bundle").exists()


def test_recipes_that_do_not_go_together_are_refused(refine: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="each network once"):
        export_bundle([refine, refine], tmp_path / "bundle", name="x")
    with pytest.raises(ConfigError, match="one tier"):
        export_bundle([refine, read_recipe(RECIPES / "full-score.yaml")], tmp_path / "bundle", name="x")
