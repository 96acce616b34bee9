"""Sums of a result's files: `sha256sum` agrees, and a file that was edited since is known and never replaced."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from storm_edge.errors import OutputError
from storm_edge.result_folder import atomic_folder, check_replaceable
from storm_edge.result_sums import SUMS, edited_files, write_sums
from tests.result_kinds import EXAMPLES, NAMES, Example, everything

each = pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)


def run(example: Example, out: Path, *, force: bool = False) -> None:
    with atomic_folder(out, example.kind, force=force) as folder:
        example.write(folder)


@each
def test_an_edited_file_is_refused_by_name_and_kept_with_force(example: Example, tmp_path: Path) -> None:
    for name in (example.kind.marker, *list(example.files)[:2]):
        out = tmp_path / name.replace("/", "-") / "out"
        run(example, out)
        run(example, out)  # as it was left it is replaced
        text = (out / name).read_text()
        (out / name).write_text(text + "\n")
        with pytest.raises(OutputError, match=f"files that were changed since .{name}.*--force") as error:
            check_replaceable(out, example.kind)
        assert "\n" not in str(error.value)
        before = everything(out)
        with pytest.raises(OutputError, match="changed since"):
            run(example, out)
        assert everything(out) == before
        run(example, out, force=True)
        assert (out / f"{name}.kept").read_text() == text + "\n"
        (out / f"{name}.kept").unlink()
        shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
        run(example, tmp_path / "fresh")
        assert everything(out) == everything(tmp_path / "fresh")


def test_a_copy_a_deletion_and_an_older_release_are_no_edits(tmp_path: Path) -> None:
    example = EXAMPLES[0]
    run(example, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    (tmp_path / "b" / "overlay.webm").unlink()
    run(example, tmp_path / "b")
    example.write(tmp_path / "c", older=True)
    run(example, tmp_path / "c")


def test_sums_that_are_not_ours_are_kept(tmp_path: Path) -> None:
    example = EXAMPLES[0]
    run(example, tmp_path / "out")
    (tmp_path / "out" / SUMS).write_text("mine")
    with pytest.raises(OutputError, match=SUMS):
        check_replaceable(tmp_path / "out", example.kind)
    run(example, tmp_path / "out", force=True)
    assert (tmp_path / "out" / f"{SUMS}.kept").read_text() == "mine"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_the_system_reads_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.txt").write_text("x")
    write_sums(tmp_path)
    done = subprocess.run(["sha256sum", "--check", SUMS], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert edited_files(tmp_path, ["sub/a b.txt", "other"]) == set()
