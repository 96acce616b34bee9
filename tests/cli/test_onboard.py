from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from storm_edge.cli import onboard as onboard_command
from storm_edge.errors import ObjectBundleError
from storm_edge.objects import onboard as onboarding
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.bundle_files import stored_embeddings
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.segment.config import FullSomConfig, SegmentConfig
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_cache import load_template_embedding
from tests.cli.conftest import Command
from tests.cli.test_bad_input import assert_refused, snapshot
from tests.full_tier import CONTEXT, load_full, write_full_bundle


@pytest.fixture(autouse=True)
def few_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 views instead of 642: the commands are tested here, not the views."""
    build = onboarding.build_viewpoints
    monkeypatch.setattr(onboarding, "build_viewpoints", lambda mesh, **_: build(mesh, subdivisions=0))


def test_a_model_becomes_a_bundle(storm_edge: Command, model: Path, tmp_path: Path) -> None:
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box")
    assert (ended.status, ended.err) == (0, "")
    assert "object obj_000003, diameter 263.8 mm, 12 faces" in ended.out  # sqrt(100^2 + 140^2 + 200^2)
    assert ObjectBundle.load(tmp_path / "box").bop_id == 3


def test_name_and_symmetry_can_be_stated(storm_edge: Command, model: Path, tmp_path: Path) -> None:
    options = ["--id", "crate", "--symmetry", "z:2", "--symmetry", "x:2"]
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box", *options)
    assert ended.status == 0
    bundle = ObjectBundle.load(tmp_path / "box")
    assert bundle.object_id == "crate"
    assert len(bundle.symmetries) == 3  # the identity and either half turn


def test_symmetries_listed_beside_the_model_are_used_unless_refused(
    storm_edge: Command, model: Path, tmp_path: Path
) -> None:
    info = {"3": {"diameter": 263.8, "symmetries_discrete": [[-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]}}
    (model.parent / onboard_command.MODELS_INFO).write_text(json.dumps(info))
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box")
    assert "lists symmetries of object 3" in ended.err
    assert len(ObjectBundle.load(tmp_path / "box").symmetries) == 2
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box", "--symmetry", "none")
    assert ended.err == ""
    assert len(ObjectBundle.load(tmp_path / "box").symmetries) == 1


def test_for_parity_upstreams_model_and_views_are_kept_as_well(
    storm_edge: Command, model: Path, tmp_path: Path
) -> None:
    """Views of either kind, so that every schedule finds its own."""
    networks = write_full_bundle(tmp_path / "full")
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box", "--bundle", networks, "--parity")
    assert (ended.status, ended.err) == (0, "")
    assert "embedded by full, full, upstream's views" in ended.out
    bundle = ObjectBundle.load(tmp_path / "box")
    assert bundle.upstream is not None
    for views in ("plain", "upstream"):
        segmenter = Segmenter(load_full(networks), config=SegmentConfig(full_som=FullSomConfig(views=views)))
        assert load_template_embedding(tmp_path / "box", segmenter, bundle) is not None
    plain = replace(bundle, upstream=None)
    with pytest.raises(ObjectBundleError, match="no model as upstream loads it"):
        segmenter.encode_object(ObjectOnDevice(plain))


def test_repairs_are_notes_on_stderr(storm_edge: Command, tmp_path: Path) -> None:
    box = trimesh.creation.box((0.1, 0.2, 0.3))
    trimesh.Trimesh(box.vertices, [*box.faces.tolist(), [0, 0, 1]], process=False).export(tmp_path / "box.ply")
    ended = storm_edge("onboard", tmp_path / "box.ply", "--unit", "m", "--out", tmp_path / "box")
    assert ended.status == 0
    first, second = ended.err.splitlines()
    assert first == "note: box.ply: dropped 1 of 13 faces, which have no area"
    assert second.startswith("note: box.ply: the model has no colours that differ")


@pytest.fixture
def encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of text encoders: one that works, and others that do not."""
    folder = tmp_path / "encoders"
    folder.mkdir()
    (folder / "words_for_tests.py").write_text(
        "import numpy as np\n"
        f"def length(text): return np.full({CONTEXT}, float(len(text)))\n"
        "def square(text): return np.zeros((2, 2))\n"
        "def endless(text): return [float('inf')]\n"
        "def words(text): return ['a', 'b']\n"
        "def see(picture): return f'  {picture.shape[0]} px\\nhigh '\n"
        "def silent(picture): return ' '\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "words_for_tests", raising=False)
    return "words_for_tests"


def test_what_networks_keep_is_stored_with_the_object(
    storm_edge: Command, model: Path, encoders: str, tmp_path: Path
) -> None:
    plain = write_full_bundle(tmp_path / "plain", name="plain")
    speaking = write_full_bundle(tmp_path / "speaking", context=True)
    options = ["--bundle", plain, "--bundle", speaking]
    options += ["--description", "a box", "--text-encoder", f"{encoders}:length"]
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box", *options)
    assert (ended.status, ended.err) == (0, "")
    assert "embedded by plain, full" in ended.out
    assert sorted(stored_embeddings(tmp_path / "box").values()) == ["full", "plain"]
    bundle = ObjectBundle.load(tmp_path / "box")
    embedding = load_template_embedding(tmp_path / "box", Segmenter(load_full(speaking)), bundle)
    assert embedding is not None
    np.testing.assert_array_equal(embedding.tensors["context"], [[5.0] * CONTEXT])
    other = load_template_embedding(tmp_path / "box", Segmenter(load_full(plain)), bundle)
    assert other is not None
    assert "context" not in other.tensors


def test_a_captioner_describes_the_object_and_its_words_are_kept(
    storm_edge: Command, model: Path, encoders: str, tmp_path: Path
) -> None:
    speaking = write_full_bundle(tmp_path / "speaking", context=True)
    options = ["--unit", "mm", "--out", tmp_path / "box", "--captioner", f"{encoders}:see"]
    ended = storm_edge("onboard", model, *options, "--bundle", speaking, "--text-encoder", f"{encoders}:length")
    assert (ended.status, ended.err) == (0, "note: obj_000003.ply: described as '224 px high'\n")
    assert ObjectBundle.load(tmp_path / "box").description == "224 px high"
    embedding = load_template_embedding(
        tmp_path / "box", Segmenter(load_full(speaking)), ObjectBundle.load(tmp_path / "box")
    )
    assert embedding is not None
    np.testing.assert_array_equal(embedding.tensors["context"], [[11.0] * CONTEXT])
    # Words alone are kept for who reads them, where no segmenter takes any.
    assert storm_edge("onboard", model, *options, "--bundle", "none").status == 0
    assert ObjectBundle.load(tmp_path / "box").description == "224 px high"


def test_no_network_is_asked_where_none_is_wanted(storm_edge: Command, model: Path, tmp_path: Path) -> None:
    ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box", "--bundle", "none")
    assert ended.status == 0
    assert "embedded by" not in ended.out
    assert stored_embeddings(tmp_path / "box") == {}


def test_descriptions_that_cannot_be_used(
    storm_edge: Command, model: Path, networks: Path, encoders: str, tmp_path: Path
) -> None:
    speaking = write_full_bundle(tmp_path / "speaking", context=True)
    plain = write_full_bundle(tmp_path / "plain")
    before = snapshot(tmp_path)
    words = ["--description", "a box"]
    cases: list[tuple[list[object], str]] = [
        (["--bundle", networks], "no segmenter"),
        (["--bundle", plain, "--bundle", plain], "bundles of different names and networks"),
        (["--bundle", speaking, *words], "--text-encoder: got nothing"),
        (["--bundle", speaking, "--text-encoder", f"{encoders}:length"], "--description: got nothing"),
        (
            ["--bundle", plain, *words, "--text-encoder", f"{encoders}:length"],
            "here takes a description",
        ),
        (["--bundle", speaking, *words, "--text-encoder", "words"], "module:function"),
        (["--bundle", speaking, *words, "--text-encoder", "no_such_module:f"], "No module named"),
        (["--bundle", speaking, *words, "--text-encoder", f"{encoders}:nothing"], "has no attribute 'nothing'"),
        (["--bundle", speaking, *words, "--text-encoder", f"{encoders}:square"], "shape (2, 2)"),
        (["--bundle", speaking, *words, "--text-encoder", f"{encoders}:endless"], "NaN or infinite"),
        (["--bundle", speaking, *words, "--text-encoder", f"{encoders}:words"], "could not convert string"),
        (["--bundle", speaking], "got none, expected (5,)"),
        (["--bundle", "none", *words, "--captioner", f"{encoders}:see"], "one of the two"),
        (["--bundle", "none", "--captioner", f"{encoders}:silent"], "no words"),
    ]
    for options, names in cases:
        ended = storm_edge("onboard", model, "--unit", "mm", "--out", tmp_path / "box", *options)
        assert_refused(ended, names)
        left = {path: data for path, data in snapshot(tmp_path).items() if "__pycache__" not in path.parts}
        assert left == before
