"""Folders that appear whole or not at all, and the fingerprint of a file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storm_edge.errors import OutputError, bad

_REMEDY = "choose another output folder"


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def check_replaceable(path: Path | str, *, marker: str) -> None:
    """Refuse an output folder that `whole_folder` would refuse, before the work that fills it.

    Raises:
        OutputError: ``path`` is a file, or a folder with other things than an older result.
    """
    path = Path(path)
    if path.is_dir():
        if any(path.iterdir()) and not (path / marker).is_file():
            expected = f"a new folder or one with {marker}"
            raise OutputError(bad(path, "a folder with other files", expected, _REMEDY))
    elif path.exists():
        raise OutputError(bad(path, "a file", "a folder to write", _REMEDY))


@contextmanager
def whole_folder(path: Path | str, *, marker: str) -> Iterator[Path]:
    """Write a result folder under a hidden name; it takes its own name when the block ends without an error.

    An existing folder is replaced only if it is empty or holds ``marker``, that is if it is an older result of the
    same kind. When the block fails the hidden folder is removed and an older result stays as it was::

        with whole_folder("out", marker="summary.json") as folder:
            (folder / "summary.json").write_text(...)

    Raises:
        OutputError: ``path`` is something else than such a result, or cannot be written.
    """
    path = Path(path)
    check_replaceable(path, marker=marker)
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    older = path.parent / f".{path.name}.older-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError("not writable")
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(bad(path, error.strerror or error, "a folder that can be written", _REMEDY)) from error
    try:
        yield partial
        try:
            if path.is_dir():
                path.rename(older)
            partial.rename(path)
        except OSError as error:
            if older.is_dir() and not path.exists():
                older.rename(path)
            raise OutputError(bad(path, error.strerror or error, "a folder that can be written", _REMEDY)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)
