"""``SHA256SUMS`` of a result folder: what its files were when they were written, so that an edited one is known.

`sha256sum --check SHA256SUMS` reads it, too. A folder without it, as older releases left them, says nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

SUMS = "SHA256SUMS"
"""Its name in every result folder."""
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_CHUNK_BYTES = 2**20


def write_sums(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write the sums of files.

    Args:
        folder: Of the result.
        names: The files, relative to it; all that are in it, if not given.

    Raises:
        OSError: One cannot be read, or there is no room.
    """
    if names is None:
        found = (Path(place) / name for place, _, files in os.walk(folder) for name in files)
        names = (path.relative_to(folder).as_posix() for path in found)
    lines = [f"{_sum(folder / name)}  {name}" for name in sorted(names) if name != SUMS and "\n" not in name]
    (folder / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def edited_files(folder: Path, names: Iterable[str]) -> set[str]:
    """Which of some files are not what was written; with `SUMS` itself, if it is not as `write_sums` leaves it."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError):
        return {SUMS}
    found = [_LINE.fullmatch(line) for line in lines]
    if not all(found):
        return {SUMS}
    sums = {match.group(2): match.group(1) for match in found if match is not None}
    there = (name for name in names if name in sums and (folder / name).is_file())
    return {name for name in there if _sum(folder / name) != sums[name]}


def _sum(path: Path) -> str:
    state = path.stat()
    return _read_sum(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=100_000)  # a result is looked at several times while it is replaced
def _read_sum(path: Path, number: int, size: int, time_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
