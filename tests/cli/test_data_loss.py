"""Nothing of a user's is lost at ``--out``: commands x what may be there. All markers: `tests/test_result_folder`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Ended
from tests.result_kinds import EXAMPLES, Example, everything

COMMANDS = ["track", "segment", "demo", "onboard", "eval masks", "eval poses", "eval tracking", "bench"]
RUNS = ["track", "segment", "onboard", "eval poses", "bench"]
FREE = {example.kind.command.removeprefix("storm-edge "): example for example in EXAMPLES}
Run = Callable[..., Ended]


@pytest.fixture
def write(storm_edge: Command, scene: Path, model: Path, thing: Path, predictions: Path, tmp_path: Path) -> Run:
    """Run a command with an output folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    scene, predictions = scene.rename(folder / "scene"), predictions.rename(folder / "poses.jsonl")
    judged = (predictions, "--scene", scene, "--object", thing)
    arguments: dict[str, tuple[object, ...]] = {
        "track": (scene, "--object", thing, "--bundle", "none", "--init", "gt"),
        "segment": (scene, "--object", thing, "--colour", "--raw"),
        "demo": (),
        "onboard": (folder / "scene" / model.relative_to(tmp_path / "scene"), "--unit", "mm", "--bundle", "none"),
        "eval masks": judged,
        "eval poses": judged,
        "eval tracking": judged,
        "bench": (scene, "--object", thing, "--bundle", "none", "--frames", 2, "--warm-up", 1),
    }

    def run(command: str, out: object, *options: object) -> Ended:
        return storm_edge(*command.split(), *arguments[command], "--out", out, *options)

    return run


def refused(ended: Ended, *said: str) -> None:
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    for word in said:
        assert word in ended.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_project_with_a_file_of_the_markers_name_is_refused(command: str, write: Run, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "main.py").write_text("print()")
    for name in ("summary.json", "report.json", "object.json", "bench.json", "manifest.json"):
        (project / name).write_text('{"objects": [], "labels": []}' if command == "eval masks" else "{}")
    before = everything(project)
    refused(write(command, project), FREE[command].kind.marker)
    refused(write(command, project, "--force"), FREE[command].kind.marker)
    assert everything(project) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_an_older_result_of_another_command_is_refused(command: str, write: Run, tmp_path: Path) -> None:
    for other in EXAMPLES:
        if other.kind.command == FREE[command].kind.command:
            continue
        out = tmp_path / f"{other.kind.command}-{other.kind.marker}"
        other.write(out)
        before = everything(out)
        refused(write(command, out), out.name)
        refused(write(command, out, "--force"), out.name)
        assert everything(out) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("extra", ["notes.txt", ".env", "overlays/mine.png"])
def test_a_users_file_beside_an_older_result_is_refused_by_name(
    command: str, extra: str, write: Run, tmp_path: Path
) -> None:
    FREE[command].write(tmp_path / "out")
    (tmp_path / "out" / extra).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / extra).write_text("mine")
    before = everything(tmp_path / "out")
    refused(write(command, tmp_path / "out"), extra, "--force")
    assert everything(tmp_path / "out") == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_folder_and_the_inputs_are_refused(command: str, write: Run, tmp_path: Path) -> None:
    FREE[command].write(tmp_path / "out")
    (tmp_path / "out").chmod(0o555)
    before = everything(tmp_path)
    refused(write(command, tmp_path / "out"), "read-only")
    if command != "demo":
        refused(write(command, tmp_path / "in", "--force"), "input")
    refused(write(command, "/", "--force"), "expected a folder of its own")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("command", RUNS)
def test_with_force_what_is_not_ours_is_kept_through_a_link(command: str, write: Run, tmp_path: Path) -> None:
    """An older result, files of a user in it and in our subfolder, and a link to it all."""
    example: Example = FREE[command]
    real = tmp_path / "disc" / "real"
    example.write(real)
    mine = {"notes.txt": "mine", "overlays/mine.png": "mine", ".env": "mine"}
    for name, text in mine.items():
        (real / name).parent.mkdir(exist_ok=True)
        (real / name).write_text(text)
    (tmp_path / "out").symlink_to(real)
    ended = write(command, tmp_path / "out", "--force")
    assert ended.status == 0, ended.err
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in real.parent.iterdir()] == ["real"]
    assert {name: (real / name).read_text() for name in mine} == mine
    content = example.kind.content(real)
    assert content is not None
    assert content != example.content
    assert content.get("made_by", content.get("format")).startswith("storm-edge ")
    assert write(command, tmp_path / "again").status == 0
    assert write(command, tmp_path / "again").status == 0  # what it left is known for its own


@pytest.mark.parametrize("command", RUNS)
def test_a_full_disc_leaves_the_older_result(
    command: str, write: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = FREE[command]
    example.write(tmp_path / "out")
    before = everything(tmp_path / "out")
    write_text = Path.write_text

    def full(self: Path, *arguments: str, **options: str) -> int:
        if self.name == example.kind.marker:
            raise OSError(28, "No space left on device", str(self))
        return write_text(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    refused(write(command, tmp_path / "out"), "No space left on device")
    assert everything(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert json.loads((tmp_path / "out" / example.kind.marker).read_text())
