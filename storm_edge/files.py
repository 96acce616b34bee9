"""Files that appear whole or not at all, and hashes. Folders are `result_folder`."""

from __future__ import annotations

import hashlib
import os
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
