"""Files and folders that appear whole or not at all, and hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storm_edge.errors import OutputError, mismatch

_REMEDY = "choose another output folder"


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def write_atomically(path: Path, data: bytes, *, remedy: str = "free some, or choose another place") -> None:
    """Write a file so that a reader sees the old one or the new one, never a part; its folder is made if need be.

    Args:
        path: The file.
        data: What it will hold.
        remedy: What to do if there is no room, for the message.

    Raises:
        OutputError: It cannot be written; what was there stays.
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        got = error.strerror or error
        raise OutputError(mismatch(path, got, f"room for {len(data) // 1024} KiB", remedy)) from error
    finally:
        part.unlink(missing_ok=True)


def cannot_write(path: Path | str, error: OSError) -> OutputError:
    """The error of a file that the system does not let us write."""
    return OutputError(mismatch(path, error.strerror or error, "a file that can be written", _REMEDY))


def check_replaceable(path: Path | str, *, marker: str) -> None:
    """Refuse an output folder that `atomic_folder` would refuse, before the work that fills it.

    Raises:
        OutputError: ``path`` is a file, a folder with other things than an older result, or in a place where
            writing is not permitted.
    """
    path = Path(path)
    if path.is_dir():
        if any(path.iterdir()) and not (path / marker).is_file():
            expected = f"a new folder or one with {marker}"
            raise OutputError(mismatch(path, "a folder with other files", expected, _REMEDY))
    elif path.exists():
        raise OutputError(mismatch(path, "a file", "a folder to write", _REMEDY))
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        got = "no permission to write" if place.is_dir() else "a file"
        raise OutputError(mismatch(path, f"{got} at {place}", "a folder that can be written", _REMEDY))


@contextmanager
def atomic_folder(path: Path | str, *, marker: str) -> Iterator[Path]:
    """Write a result folder under a hidden name; it takes its own name when the block ends without an error.

    An existing folder is replaced only if it is empty or holds ``marker``, that is if it is an older result of the
    same kind. When the block fails the hidden folder is removed and an older result stays as it was::

        with atomic_folder("out", marker="summary.json") as folder:
            (folder / "summary.json").write_text(...)

    Raises:
        OutputError: ``path`` is something else than such a result, or cannot be written.
    """
    path = Path(path)
    check_replaceable(path, marker=marker)
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    made = [parent for parent in path.parents if not parent.exists()]
    done = False
    try:
        with _writing(path):
            partial.mkdir(parents=True)
        yield partial
        with _writing(path):
            _put_in_place(partial, path)
        done = True
    finally:
        if not done:
            shutil.rmtree(partial, ignore_errors=True)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()


def _put_in_place(partial: Path, path: Path) -> None:
    """Give ``partial`` the name ``path``; what had that name goes only after that worked."""
    older = path.parent / f".{path.name}.older-{os.getpid()}"
    if path.is_dir():
        path.rename(older)
    try:
        partial.rename(path)
    except OSError:
        if older.is_dir():
            older.rename(path)
        raise
    shutil.rmtree(older, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """The system's refusals as ours."""
    try:
        yield
    except OSError as error:
        got = error.strerror or error
        raise OutputError(mismatch(path, got, "a folder that can be written", _REMEDY)) from error
