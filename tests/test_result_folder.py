"""The matrix of what may happen to a user's files at an output folder: each command's marker x each misfortune."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storm_edge import folder_swap
from storm_edge.errors import OutputError
from storm_edge.evaluate.report import POSE_REPORT
from storm_edge.replay.result_kinds import DEMO, SEGMENT, TRACK
from storm_edge.result_folder import ResultFolder, atomic_folder, check_replaceable, unfinished
from tests.result_kinds import EXAMPLES, NAMES, Example, everything

each = pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)


def run(example: Example, out: Path, *, said: str = "2", force: bool = False) -> None:
    """What a command does at its end."""
    with atomic_folder(out, example.kind, force=force) as folder:
        example.write(folder, said=said)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fresh(example: Example, tmp_path: Path) -> dict[str, str]:
    """What a result looks like in a new folder."""
    run(example, tmp_path / "fresh")
    return everything(tmp_path / "fresh")


@each
@pytest.mark.parametrize("older", [False, True], ids=["says who made it", "of an older release"])
def test_an_older_result_is_replaced_as_a_whole(example: Example, older: bool, tmp_path: Path) -> None:
    example.write(tmp_path / "all" / "out", older=older)
    run(example, tmp_path / "all" / "out")
    assert everything(tmp_path / "all" / "out") == fresh(example, tmp_path)
    assert names(tmp_path / "all") == ["out"]


@each
@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"made_by": "cargo 1.0"}', '{"made_by": 3}', "[" * 100_000])
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_a_file_of_the_markers_name_is_not_ours(
    example: Example, content: str, force: bool, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "main.py").write_text("print()")
    (project / example.kind.marker).write_text(content)
    before = everything(tmp_path)
    with pytest.raises(OutputError, match=f"{example.kind.marker} that storm-edge"):
        run(example, project, force=force)
    assert everything(tmp_path) == before


@each
@pytest.mark.parametrize("other", EXAMPLES, ids=NAMES)
def test_a_result_of_another_command_is_refused(example: Example, other: Example, tmp_path: Path) -> None:
    if other.kind.command == example.kind.command:
        pytest.skip("the same command")
    other.write(tmp_path / "out")
    before = everything(tmp_path)
    for force in (False, True):
        with pytest.raises(OutputError, match="storm-edge"):
            run(example, tmp_path / "out", force=force)
        assert everything(tmp_path) == before


EXTRAS = ["notes.txt", ".hidden", ".git/config", "deep/er/notes.txt", "SUMMARY.JSON", "poses.jsonl.bak"]
INSIDE = ["overlays/mine.png", "overlays/000005.png", "masks/000005_000000.png", "embeddings/mine.npz", "fp16/a.txt"]


@each
@pytest.mark.parametrize("older", [False, True], ids=["says who made it", "of an older release"])
@pytest.mark.parametrize("extra", [*EXTRAS, *INSIDE])
def test_a_users_file_is_never_removed(example: Example, older: bool, extra: str, tmp_path: Path) -> None:
    out = tmp_path / "all" / "out"
    example.write(out, older=older)
    (out / extra).parent.mkdir(parents=True, exist_ok=True)
    (out / extra).write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(OutputError, match=f"{extra}.*--force"):
        run(example, out)
    assert everything(tmp_path) == before

    run(example, out, force=True)
    assert everything(out) == fresh(example, tmp_path) | {extra: "mine"}
    assert names(tmp_path / "all") == ["out"]


def test_the_first_few_are_named_in_one_line(tmp_path: Path) -> None:
    EXAMPLES[0].write(tmp_path / "out")
    for letter in "abcdef":
        (tmp_path / "out" / letter).write_text("")
    with pytest.raises(OutputError, match=r"other files \(a, b, c and more\)") as error:
        check_replaceable(tmp_path / "out", TRACK)
    assert "\n" not in str(error.value)


@each
def test_folders_and_links_of_a_user_are_kept_as_well(example: Example, tmp_path: Path) -> None:
    out = tmp_path / "all" / "out"
    example.write(out)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("mine")
    (out / "empty").mkdir()
    (out / "photos").symlink_to(tmp_path / "photos")
    (out / "lost").symlink_to("nowhere")
    with pytest.raises(OutputError, match="lost, photos, empty/"):
        run(example, out)
    run(example, out, force=True)
    assert (out / "empty").is_dir()
    assert (out / "photos").readlink() == tmp_path / "photos"
    assert (out / "lost").readlink() == Path("nowhere")
    assert (tmp_path / "photos" / "one.png").read_text() == "mine"
    assert names(tmp_path / "all") == ["out"]


def test_a_users_file_that_the_new_result_needs_the_name_of_is_kept_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "all" / "out"
    out.mkdir(parents=True)
    (out / "poses.jsonl").write_text("mine")
    (out / "overlays").write_text("a file where we have a folder")
    run(EXAMPLES[0], out, force=True)
    expected = fresh(EXAMPLES[0], tmp_path)
    kept = {"poses.jsonl.kept": "mine", "overlays.kept": "a file where we have a folder"}
    assert everything(out) == expected | kept
    assert names(tmp_path / "all") == ["out"]


@each
def test_a_link_is_followed_and_stays_a_link(example: Example, tmp_path: Path) -> None:
    example.write(tmp_path / "disc" / "real")
    (tmp_path / "out").symlink_to("disc/real")
    (tmp_path / "new").symlink_to("disc/not-there-yet")
    run(example, tmp_path / "out")
    run(example, tmp_path / "new")
    for name in ("out", "new"):
        assert (tmp_path / name).is_symlink()
        assert everything(tmp_path / name) == fresh(example, tmp_path)
    assert names(tmp_path / "disc") == ["not-there-yet", "real"]


def test_a_marker_that_is_a_link_is_a_users(tmp_path: Path) -> None:
    EXAMPLES[0].write(tmp_path / "real")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").symlink_to(tmp_path / "real" / "summary.json")
    with pytest.raises(OutputError, match="did not write"):
        run(EXAMPLES[0], tmp_path / "out")


@each
def test_a_read_only_folder_is_left_alone(example: Example, tmp_path: Path) -> None:
    example.write(tmp_path / "out")
    (tmp_path / "out").chmod(0o555)
    before = everything(tmp_path)
    with pytest.raises(OutputError, match="read-only"):
        run(example, tmp_path / "out", force=True)
    assert everything(tmp_path) == before


@each
def test_the_folders_mode_is_kept(example: Example, tmp_path: Path) -> None:
    example.write(tmp_path / "out")
    (tmp_path / "out").chmod(0o2770)
    run(example, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o7777 == 0o2770


@each
def test_a_full_disc_while_writing_leaves_the_older_result(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example.write(tmp_path / "out")
    before = everything(tmp_path)

    def full(*arguments: object, **options: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        run(example, tmp_path / "out")
    assert everything(tmp_path) == before
    assert names(tmp_path) == ["out"]


@each
@pytest.mark.parametrize("one_step", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("step", [0, 1, 2], ids=["first", "second", "third"])
def test_a_full_disc_while_renaming_loses_neither_result(
    example: Example, one_step: bool, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "all" / "out"
    example.write(out)
    (out / "notes.txt").write_text("mine")
    older, newer = everything(out), fresh(example, tmp_path)
    steps = iter(range(9))
    rename = Path.rename

    def stubborn(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    if not one_step:
        monkeypatch.setattr(folder_swap, "_rename_both", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", stubborn)
    if one_step or step == 2:
        run(example, out, force=True)  # the names were exchanged before
        assert everything(out) == newer | {"notes.txt": "mine"}
        return
    with pytest.raises(OutputError, match=r"No space left on device.*the new result is in") as error:
        run(example, out, force=True)
    assert everything(out) == older
    hidden = next((tmp_path / "all").glob(".out.partial-*"))
    assert str(hidden) in str(error.value)
    assert everything(hidden) == newer | {"notes.txt": "mine"}


KILLED = """
import os, sys
from pathlib import Path
from storm_edge import folder_swap
from storm_edge.result_folder import atomic_folder
from tests.result_kinds import EXAMPLES

rename = Path.rename

def dying(self, target):
    rename(self, target)
    os.kill(os.getpid(), 9)

Path.rename = dying
folder_swap._rename_both = lambda one, other: False
for number, example in enumerate(EXAMPLES):
    child = os.fork()
    if child == 0:
        with atomic_folder(Path(sys.argv[1]) / str(number) / "out", example.kind, force=True) as folder:
            example.write(folder, said="2")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="module")
def older_results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    """A folder for each kind of result, by its number, where a process was killed between the renames; and what had
    been in them. One process imports all that is needed, and its children die."""
    folder = tmp_path_factory.mktemp("killed")
    older = []
    for number, example in enumerate(EXAMPLES):
        out = folder / str(number) / "out"
        example.write(out)
        (out / "notes.txt").write_text("mine")
        older.append(everything(out))
    command = [sys.executable, "-c", KILLED, str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["-9"] * len(EXAMPLES), done.stderr
    return folder, older


@each
def test_a_process_that_is_killed_between_the_renames_loses_nothing(
    example: Example, older_results: tuple[Path, list[dict[str, str]]]
) -> None:
    """On a file system that cannot exchange names the older result is away for a moment; the next run brings it
    back."""
    folder, every_older = older_results
    place = folder / str(EXAMPLES.index(example))
    out, older = place / "out", every_older[EXAMPLES.index(example)]
    assert not out.exists()
    assert everything(next(place.glob(".out.older-*"))) == older
    check_replaceable(out, example.kind, force=True)
    assert everything(out) == older
    run(example, out, force=True)
    assert (out / "notes.txt").read_text() == "mine"


def test_names_are_exchanged_in_one_step_where_the_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No moment in which there is nothing at OUT, for readers or a killed run."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    if not folder_swap._rename_both(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system cannot")
    EXAMPLES[0].write(tmp_path / "out")
    seen = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        seen.append((tmp_path / "out" / "summary.json").is_file())
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    run(EXAMPLES[0], tmp_path / "out")
    assert seen == [True]


@each
@pytest.mark.parametrize("one_step", [True, False], ids=["exchange", "two renames"])
def test_what_a_user_writes_there_during_the_run_is_kept(
    example: Example, one_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "all" / "out"
    example.write(out)
    if not one_step:
        monkeypatch.setattr(folder_swap, "_rename_both", lambda one, other: False)
    with atomic_folder(out, example.kind) as folder, (out / "run.log").open("w") as log:
        example.write(folder, said="2")
        log.write("before")
    with (out / "run.log").open("a") as log:
        log.write(" and after")
    assert everything(out) == fresh(example, tmp_path) | {"run.log": "before and after"}
    assert names(tmp_path / "all") == ["out"]


def test_a_folder_that_appears_during_the_run_is_not_replaced(tmp_path: Path) -> None:

    def meanwhile() -> None:
        with atomic_folder(tmp_path / "out", TRACK) as folder:
            EXAMPLES[0].write(folder)
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "photo.png").write_text("mine")

    with pytest.raises(OutputError, match=r"other files \(photo.png\).*the new result is in"):
        meanwhile()
    assert everything(tmp_path / "out") == {"photo.png": "mine"}
    assert (next(tmp_path.glob(".out.partial-*")) / "poses.jsonl").is_file()


def test_only_one_run_writes_a_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out", TRACK) as folder:
        EXAMPLES[0].write(folder)
        with pytest.raises(OutputError, match=r"another run that writes \.out\.partial"):
            run(EXAMPLES[0], tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    left = tmp_path / f".out.partial-{os.getpid()}"
    left.mkdir()
    (left / "poses.jsonl.part").write_text("of a killed run")
    run(EXAMPLES[0], tmp_path / "out")
    assert names(tmp_path) == [left.name, "out"]
    assert everything(left) == {"poses.jsonl.part": "of a killed run"}


def test_places_that_hold_more_than_a_result_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place in (".", "..", "/", work, tmp_path / "home", "/proc", "x/.."):
        with pytest.raises(OutputError, match="got "):
            check_replaceable(place, TRACK, force=True)
    assert not list(work.iterdir())


def test_inputs_are_never_an_output(tmp_path: Path) -> None:
    scene = tmp_path / "data" / "scene"
    (scene / "rgb").mkdir(parents=True)
    (tmp_path / "link").symlink_to(scene)
    for out in (scene, tmp_path / "data", tmp_path / "link"):
        with pytest.raises(OutputError, match="input"):
            check_replaceable(out, TRACK, force=True, inputs=[scene, None])
    check_replaceable(scene / "result", TRACK, inputs=[scene, tmp_path / "not there"])


def test_other_folders_and_files_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for name, message in [
        ("photos", "a folder with other files"), ("file", "a file"), ("file/out", "file/out"), ("loop", "loop"),
    ]:  # fmt: skip
        with pytest.raises(OutputError, match=message), atomic_folder(tmp_path / name, TRACK):
            pytest.fail("the block must not start")
    assert names(tmp_path) == ["file", "loop", "photos"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run(EXAMPLES[0], tmp_path / "out")
    assert (tmp_path / "out" / "summary.json").is_file()
    assert names(tmp_path) == ["out"]


def test_nothing_stays_when_the_block_fails(tmp_path: Path) -> None:
    def fail(out: Path) -> None:
        with atomic_folder(out, TRACK) as folder:
            (folder / "summary.json").write_text("new")
            assert unfinished() == [folder]
            raise ZeroDivisionError

    EXAMPLES[0].write(tmp_path / "out")
    before = everything(tmp_path)
    for out in ("out", "a/b/out"):
        with pytest.raises(ZeroDivisionError):
            fail(tmp_path / out)
    assert everything(tmp_path) == before
    assert names(tmp_path) == ["out"]
    assert unfinished() == []


def test_a_result_that_ended_early_replaces_none(tmp_path: Path) -> None:
    def end_early(said: str) -> Path:
        with ResultFolder(tmp_path / "out", TRACK) as result:
            EXAMPLES[0].write(result.folder, said=said)
            result.complete = False
            return result.place()

    assert end_early("1") == tmp_path / "out"
    run(EXAMPLES[0], tmp_path / "out", said="whole")
    assert end_early("2") == tmp_path / "out.partial"
    assert end_early("3") == tmp_path / "out.partial"
    (tmp_path / "out.partial" / "notes.txt").write_text("mine")
    assert end_early("4") == tmp_path / "out.partial-2"
    said = {path.name: (path / "bop_results.csv").read_text() for path in tmp_path.iterdir()}
    assert said == {"out": "whole", "out.partial": "3", "out.partial-2": "4"}


def test_a_result_does_not_name_files_outside_of_itself(tmp_path: Path) -> None:
    """A marker is a file that anybody can edit."""
    (tmp_path / "precious.txt").write_text("mine")
    example = next(example for example in EXAMPLES if example.kind is SEGMENT)
    example.write(tmp_path / "out")
    marker = tmp_path / "out" / "summary.json"
    content = json.loads(marker.read_text())
    content["results"] += [{"mask": "../precious.txt"}, {"mask": str(tmp_path / "precious.txt")}, 3]
    marker.write_text(json.dumps(content))
    run(example, tmp_path / "out")
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_demo_of_an_older_release_is_told_from_a_track_result(tmp_path: Path) -> None:
    demo = next(example for example in EXAMPLES if example.kind is DEMO)
    demo.write(tmp_path / "demo", older=True)
    EXAMPLES[0].write(tmp_path / "track", older=True)
    with pytest.raises(OutputError, match=r"plot\.png"):
        check_replaceable(tmp_path / "demo", TRACK)
    with pytest.raises(OutputError, match="did not write"):
        check_replaceable(tmp_path / "track", DEMO)


def test_results_can_be_written_off_the_main_thread(tmp_path: Path) -> None:
    thread = threading.Thread(target=run, args=(EXAMPLES[4], tmp_path / "out"))
    thread.start()
    thread.join()
    assert POSE_REPORT.content(tmp_path / "out") is not None
