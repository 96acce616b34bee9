"""What a long run has done so far, a line of JSON per step: after a kill it is read back, and the run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from storm_edge.files import cannot_write, write_atomically
from storm_edge.parsing import parse_json


class Journal:
    """A context manager. Lines are on disk before the next step; the last one, torn by a kill, is dropped. When the
    block ends without an error the file is removed, with its folder if that is empty.

    Args:
        path: The file; its folder is made.

    Attributes:
        entries: Everything that was written so far.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: list[dict[str, Any]] = []
        self._stream: IO[str] | None = None

    def __enter__(self) -> Journal:
        whole = []
        try:
            lines = self._path.read_bytes().split(b"\n") if self._path.is_file() else [b""]
            for line in lines[:-1]:
                entry = parse_json(line)
                if not isinstance(entry, dict):
                    break
                whole.append(line)
                self.entries.append(entry)
        except ValueError:
            pass  # all up to there is good
        except OSError as error:
            raise cannot_write(self._path, error) from error
        write_atomically(self._path, b"".join(line + b"\n" for line in whole))
        try:
            self._stream = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return self

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append an entry.

        Raises:
            OutputError: The disc does not take it.
        """
        assert self._stream is not None
        try:
            self._stream.write(json.dumps(entry, allow_nan=False) + "\n")
            self._stream.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.entries.append(dict(entry))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
        if kind is None:  # the run is at its end: what it left is elsewhere
            self._path.unlink(missing_ok=True)
            with suppress(OSError):  # others are in it
                self._path.parent.rmdir()
