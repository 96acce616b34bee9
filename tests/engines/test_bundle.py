"""Bundles: what the manifest promises is checked, and foreign files come out under our names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import MANIFEST, FileConventions, write_manifest
from storm_edge.errors import EngineError
from storm_edge.pipeline.refine.set_scorer import open_scorer
from tests.engines import tiny

SIZE_PX = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.refine(tmp_path / "refine.onnx", size_px=SIZE_PX)
    tiny.score_features(tmp_path / "score_features.onnx", size_px=SIZE_PX)
    tiny.score_attention(tmp_path / "score_attention.onnx")
    networks = {name: f"{name}.onnx" for name in ("refine", "score_features", "score_attention")}
    write_manifest(tmp_path, name="tiny", size_px=SIZE_PX, preset="default", networks=networks)
    return tmp_path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A bundle of files as NVIDIA names and lays them out."""
    names = ("input1", "input2", "output1", "output2")
    tiny.refine(tmp_path / "refine_model.onnx", size_px=SIZE_PX, names=names, channels_last=True)
    tiny.score_joint(tmp_path / "score_model.onnx", size_px=SIZE_PX)
    networks = {"refine": "refine_model.onnx", "score": "score_model.onnx"}
    write_manifest(
        tmp_path,
        name="published",
        size_px=SIZE_PX,
        preset="parity",
        networks=networks,
        conventions=dict.fromkeys(networks, FileConventions(layout="nhwc")),
    )
    inputs = {"rendered": "input1", "observed": "input2"}
    _edit(
        tmp_path, lambda m: m["networks"]["refine"].update(tensors={**inputs, "trans": "output1", "rot": "output2"})
    )
    _edit(tmp_path, lambda m: m["networks"]["score"].update(tensors={**inputs, "score": "output1"}))
    return tmp_path


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (2, count, 6, SIZE_PX, SIZE_PX)
    rendered, observed = rng.standard_normal(shape, dtype=np.float32)
    return rendered, observed


def _expected_scores(rendered: np.ndarray, observed: np.ndarray) -> np.ndarray:
    total = (rendered - observed).mean((2, 3)).sum(1)
    return total - total.mean()


def test_a_bundle_opens_its_networks(folder: Path, rng: np.random.Generator) -> None:
    bundle = NetworkBundle.load(folder)
    assert (bundle.name, bundle.size_px, bundle.preset) == ("tiny", SIZE_PX, "default")
    rendered, observed = _pairs(rng, 3)
    out = bundle.open("refine").run({"rendered": rendered, "observed": observed})
    np.testing.assert_allclose(out["trans"], (observed - rendered).mean((2, 3))[:, 3:], atol=1e-6)


def test_published_files_come_out_under_our_names_and_layout(published: Path, rng: np.random.Generator) -> None:
    engine = NetworkBundle.load(published).open("refine")
    assert engine.spec.tensor("observed").shape == (None, 6, SIZE_PX, SIZE_PX)
    rendered, observed = _pairs(rng, 3)
    expected = (observed - rendered).mean((2, 3))[:, 3:]
    out = engine.run({"rendered": rendered, "observed": observed})
    np.testing.assert_allclose(out["trans"], expected, atol=1e-6)
    buffers = {"rendered": rendered, "observed": observed, "trans": np.zeros((3, 3), np.float32)}
    buffers["rot"] = np.zeros((3, 3), np.float32)
    engine.bind(buffers)
    engine.launch(2)
    np.testing.assert_allclose(buffers["trans"][:2], expected[:2], atol=1e-6)
    assert not buffers["trans"][2].any()


@pytest.mark.parametrize("which", ["folder", "published"])
def test_a_set_scores_the_same_however_it_is_chunked(
    which: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    scorer = open_scorer(NetworkBundle.load(request.getfixturevalue(which)), capacity=8)
    rendered, observed = _pairs(rng, 7)
    chunk = [np.zeros((3, *rendered.shape[1:]), np.float32) for _ in range(2)]
    scorer.bind(*chunk)
    for _ in range(2):  # the second set must not see the first
        for at in range(0, 7, 3):
            count = min(3, 7 - at)
            chunk[0][:count], chunk[1][:count] = rendered[at : at + count], observed[at : at + count]
            scorer.add(count)
        np.testing.assert_allclose(scorer.scores(), _expected_scores(rendered, observed), atol=1e-5)
    assert len(scorer.scores()) == 0


def test_more_hypotheses_than_a_scorer_was_opened_for_are_refused(folder: Path, rng: np.random.Generator) -> None:
    scorer = open_scorer(NetworkBundle.load(folder), capacity=4)
    scorer.bind(*_pairs(rng, 3))
    scorer.add(3)
    with pytest.raises(EngineError, match="got 6 hypotheses, expected at most 4"):
        scorer.add(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(colour="red"), "manifest.json: got colour: Extra inputs are not permitted"),
        (lambda m: m.update(format=2), "manifest.json: got format"),
        (
            lambda m: m["networks"]["refine"].update(sha256="0" * 64),
            r"refine.onnx: got sha256 .*expected 000000000000",
        ),
        (lambda m: m["networks"]["refine"].update(file="absent.onnx"), "absent.onnx: got No such file"),
        (lambda m: m["networks"]["refine"].update(file="../refine.onnx"), "expected a file in the bundle"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_its_entry(change, message: str, folder: Path) -> None:  # type: ignore[no-untyped-def]
    _edit(folder, change)
    with pytest.raises(EngineError, match=message) as caught:
        NetworkBundle.load(folder)
    assert "\n" not in str(caught.value)


def test_bundles_and_networks_that_are_not_there(folder: Path) -> None:
    with pytest.raises(EngineError, match="no-such-bundle: got No such file"):
        NetworkBundle.load("no-such-bundle")
    with pytest.raises(EngineError, match="expected score;"):
        NetworkBundle.load(folder).open("score")


def test_tensors_that_break_the_contract_are_refused(folder: Path) -> None:
    _edit(folder, lambda m: m.update(size_px=32))
    with pytest.raises(
        EngineError, match=r"refine.onnx: inputs: .*\(None, 6, 16, 16\).*expected .*\(None, 6, 32, 32\)"
    ):
        NetworkBundle.load(folder).open("refine")


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    tiny.refine(tmp_path / "refine.onnx", size_px=SIZE_PX, batch=252)
    write_manifest(tmp_path, name="fixed", size_px=SIZE_PX, preset="parity", networks={"refine": "refine.onnx"})
    with pytest.raises(EngineError, match="export the network with a batch that varies"):
        NetworkBundle.load(tmp_path).open("refine")


def test_what_is_required_is_missed_in_one_line(folder: Path) -> None:
    with pytest.raises(EngineError, match="bundle tiny: got no SAM2, expected sam2_encoder; export it") as caught:
        NetworkBundle.load(folder).require(["sam2_encoder"], what="SAM2", remedy="export it")
    assert "\n" not in str(caught.value)
