"""`poses.jsonl`: a line per frame and object, on disk before the next frame starts.

The format is that of docs/output-files.md; scripts rely on it. Nothing here decides where a run's folder
appears; `storm_edge.result_folder` does.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO

from storm_edge.errors import OutputError, mismatch
from storm_edge.files import cannot_write
from storm_edge.live.track_report import Track

POSES = "poses.jsonl"
"""Name of the file."""


class PoseLog:
    """Writes `poses.jsonl` line by line; each line is on disk before the next frame starts.

    A context manager. The file has the name ``NAME.part`` until the block ends without an error.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(self.path.name + ".part")
        self._stream: IO[str] | None = None

    def __enter__(self) -> PoseLog:
        try:
            self._stream = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return self

    def write(self, track: Track) -> None:
        """Append one line.

        Raises:
            OutputError: The log is not open, or the disk does not take it.
        """
        if self._stream is None:
            raise OutputError(mismatch(self.path, "a log that is not open", "a `with` block", "write inside it"))
        try:
            self._stream.write(track.line() + "\n")
            self._stream.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        try:
            self._part.replace(self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
