from __future__ import annotations

from pathlib import Path

import pytest

from storm_edge.errors import OutputError
from storm_edge.files import atomic_folder, sha256, write_atomically


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a" / "out", marker="mark") as folder:
        (folder / "mark").write_text("1")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "mark").read_text() == "1"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out"]


def test_nothing_stays_when_the_block_fails_and_an_older_result_survives(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out", marker="mark") as folder:
        (folder / "mark").write_text("old")

    def fail() -> None:
        with atomic_folder(tmp_path / "out", marker="mark") as folder:
            (folder / "mark").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_parents_made_for_a_failed_result_go_too(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "a" / "b" / "out", marker="mark"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_an_older_result_comes_back_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_folder(tmp_path / "out", marker="mark") as folder:
        (folder / "mark").write_text("old")
    rename = Path.rename

    def stubborn(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stubborn)
    with pytest.raises(OutputError, match="No space left"), atomic_folder(tmp_path / "out", marker="mark"):
        pass
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_older_result_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "out", marker="mark") as folder:
            (folder / "mark").write_text(name)
            (folder / name).write_text("")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["mark", "second"]


def test_other_folders_and_files_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("")
    (tmp_path / "file").write_text("")
    for name, message in [("photos", "a folder with other files"), ("file", "a file"), ("file/out", "file/out")]:
        with pytest.raises(OutputError, match=message), atomic_folder(tmp_path / name, marker="mark"):
            pytest.fail("the block must not start")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photos"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out", marker="mark") as folder:
        (folder / "mark").write_text("1")
    assert (tmp_path / "out" / "mark").is_file()


def test_fingerprint_of_known_bytes() -> None:
    """FIPS 180-2, appendix B.1."""
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"

    def full(part: Path, data: bytes) -> int:
        with part.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="got No space left on device, expected room for 0 KiB; go elsewhere"):
        write_atomically(path, b"newer", remedy="go elsewhere")
    monkeypatch.undo()
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]
