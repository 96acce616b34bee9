"""Reports as lines of JSON: to a stream such as stdout, or to a file that is rotated by its size.

A file that is full becomes ``NAME.1``, the one before ``NAME.2``, and so on; the oldest goes. Every line is handed to
the system before the next one begins. A line that did not fit on the disk is cut off again, so that a file holds
whole lines only.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import IO

from storm_edge.errors import OutputError, mismatch
from storm_edge.files import cannot_write
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.message import as_line


class JsonLinesStream:
    """A `Sink` that writes to a stream that is open already.

    Args:
        stream: Takes text; not closed here.
        name: What it is called.
    """

    def __init__(self, stream: IO[str], *, name: str = "stdout") -> None:
        self.name = f"json lines to {name}"
        self._stream = stream

    def send(self, report: FrameReport) -> None:
        """Write a line."""
        try:
            self._stream.write(as_line(report) + "\n")
            self._stream.flush()
        except ValueError as error:  # the stream was closed
            raise OutputError(mismatch(self.name, error, "an open stream", "start it again")) from error

    def close(self) -> None:
        """Nothing is to be closed."""


class JsonLinesFile:
    """A `Sink` that appends to a file and rotates it.

    Args:
        path: The file; its folder is made if need be.
        most_bytes: Size from which on it is rotated.
        kept: How many older files are kept; 0 or more.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, *, most_bytes: int, kept: int) -> None:
        self.name = f"json lines to {path.name}"
        self._path, self._most_bytes, self._kept = path, most_bytes, kept
        self._file: int | None = None
        self._size = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise cannot_write(path, error) from error

    def send(self, report: FrameReport) -> None:
        """Append a line.

        Raises:
            OSError: The disk does not take it; the file ends with the line before.
        """
        line = (as_line(report) + "\n").encode()
        if self._file is None:
            self._open()
        if self._size and self._size + len(line) > self._most_bytes:
            self._rotate()
        file = self._file
        assert file is not None
        try:
            done = 0
            while done < len(line):
                done += os.write(file, line[done:])
        except OSError:
            os.ftruncate(file, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)  # fixed: mode
        self._size = os.fstat(self._file).st_size
        if self._size and not _ends_a_line(self._path):  # a run was killed within a line
            self._size += os.write(self._file, b"\n")

    def _rotate(self) -> None:
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._kept))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            if newer.exists():
                newer.replace(older)
        if not self._kept:
            self._path.unlink(missing_ok=True)
        self._open()


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
