from __future__ import annotations

import json
from pathlib import Path

import pytest
import trimesh

from storm_edge.cli import onboard as onboard_command
from storm_edge.objects import onboard as onboarding
from storm_edge.objects.bundle import ObjectBundle
from tests.cli.conftest import Command


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


def test_repairs_are_notes_on_stderr(storm_edge: Command, tmp_path: Path) -> None:
    box = trimesh.creation.box((0.1, 0.2, 0.3))
    trimesh.Trimesh(box.vertices, [*box.faces.tolist(), [0, 0, 1]], process=False).export(tmp_path / "box.ply")
    ended = storm_edge("onboard", tmp_path / "box.ply", "--unit", "m", "--out", tmp_path / "box")
    assert ended.status == 0
    assert ended.err == "note: box.ply: dropped 1 of 13 faces, which have no area\n"
