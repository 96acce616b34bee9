"""The folder of a long work that may be ended at any time and goes on where it was.

`work.json` says what is done here: by which command and settings, of which units (scenes), and which shard of them. A
unit's result is a folder that appears whole; one that is there is not done again. Nothing is ever replaced but a unit
that ended early. The same command with the same settings goes on; any other is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from storm_edge import __version__
from storm_edge.datasets.shard import Shard, parse_shard
from storm_edge.errors import InputError, OutputError, mismatch
from storm_edge.files import write_atomically
from storm_edge.folder_swap import lock
from storm_edge.parsing import parse_json
from storm_edge.replay.summary import SUMMARY
from storm_edge.result_folder import check_replaceable
from storm_edge.result_kind import MADE_BY, ResultKind

WORK = "work.json"
"""Name of the marker."""
SCENES = "scenes"
"""Folder of the units' results."""
_FOLDER_REMEDY = "choose another output folder"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done."""

    command: str
    """Who does it, as in ``storm-edge track``."""
    dataset: str
    """Name of the dataset, or of the only scene."""
    split: str
    """Name of its split."""
    units: Sequence[str]
    """Names of all scenes, in order."""
    settings: Mapping[str, Any]
    """All that alters results; JSON types."""

    def content(self, shard: Shard) -> dict[str, Any]:
        """What `work.json` says."""
        return {
            MADE_BY: f"{self.command} {__version__}",
            "dataset": self.dataset,
            "split": self.split,
            "units": list(self.units),
            "shard": str(shard),
            "settings": dict(self.settings),
        }

    @property
    def kind(self) -> ResultKind:
        """How its folder is known again."""
        keys = frozenset({"dataset", "split", "units", "shard", "settings"})
        return ResultKind(command=self.command, marker=WORK, keys=keys, sums=False)


class WorkFolder:
    """A context manager: makes or opens the folder, and keeps other processes out of it until the block ends.

    Args:
        out: The folder.
        work: What is to be done.
        shard: Which part of it is done here.
        inputs: What is read: the folder must not be one of them, nor hold one.

    Raises:
        OutputError: It holds something else, another work or another shard, or another process writes it.
    """

    def __init__(
        self, out: Path | str, work: Work, shard: Shard | None = None, *, inputs: Sequence[Path | None] = ()
    ) -> None:
        self.path, self.work, self.shard = Path(out), work, shard or Shard()
        self._inputs = inputs
        self._lock = -1
        self._is_new = False

    @property
    def units(self) -> list[str]:
        """Scenes of this shard, in order."""
        return self.shard.of(self.work.units)

    def place(self, unit: str) -> Path:
        """Folder of a unit's result."""
        return unit_folder(self.path, unit)

    def pending(self) -> list[str]:
        """Units of this shard that are still to be done, in order."""
        return [unit for unit in self.units if not is_done(self.place(unit))]

    def check(self) -> None:
        """Refuse a folder that holds anything else, before the work begins.

        Raises:
            OutputError: As the class.
        """
        # An older result of any kind is refused there, too; a folder of this work is gone on with.
        check_replaceable(self.path, self.work.kind, force=True, inputs=self._inputs)
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        if not (self.path / WORK).is_file():
            got = "a folder with other files"
            expected = f"a new folder, or one that {self.work.command} began with a dataset"
            raise OutputError(mismatch(self.path, got, expected, _FOLDER_REMEDY))
        _refuse_difference(self.path, read_work(self.path), self.work.content(self.shard))

    def __enter__(self) -> WorkFolder:
        self.check()
        (self.path / SCENES).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path, os.O_RDONLY)
        if not lock(self._lock):
            os.close(self._lock)
            remedy = "wait for it, or give each process its own folder and --shard"
            raise OutputError(mismatch(self.path, "another process that writes it", "one process", remedy))
        if not (self.path / WORK).is_file():
            write_json_file(self.path / WORK, self.work.content(self.shard))
            self._is_new = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_new and error is not None and not any((self.path / SCENES).iterdir()):
            self._leave_nothing()
        os.close(self._lock)

    def _leave_nothing(self) -> None:
        """Nothing was begun, so that the command may be given again with other settings."""
        (self.path / WORK).unlink()
        with suppress(OSError):  # objects that were made ready stay
            (self.path / SCENES).rmdir()
            self.path.rmdir()


def unit_folder(out: Path, unit: str) -> Path:
    """Folder of a unit's result in a work folder."""
    return out / SCENES / unit


def is_done(folder: Path) -> bool:
    """Whether a unit's result is there and did not end early."""
    try:
        summary = parse_json((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("ended_by") is None


def is_work_folder(path: Path) -> bool:
    """Whether a folder is of a work of this kind."""
    return (path / WORK).is_file()


def read_work(path: Path) -> dict[str, Any]:
    """What `work.json` of a folder says.

    Raises:
        InputError: It is none.
    """
    remedy = "give a folder that a command wrote for a dataset"
    try:
        content = parse_json((path / WORK).read_bytes())
        parse_shard(content["shard"])
        if not isinstance(content["settings"], dict) or not all(isinstance(unit, str) for unit in content["units"]):
            raise ValueError("units and settings of other types")
        return {key: content[key] for key in (MADE_BY, "dataset", "split", "units", "shard", "settings")}
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        got = getattr(error, "strerror", None) or f"{type(error).__name__} {error}"
        raise InputError(mismatch(path / WORK, got, "what is done in this folder", remedy)) from error


def write_json_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object so that a reader sees the old one or the new one.

    Raises:
        OutputError: It cannot be written.
    """
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _refuse_difference(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a folder of another work: name the first thing in which they differ."""
    now = json.loads(json.dumps(wanted))
    pairs = [(key, there[key], now[key]) for key in ("dataset", "split", "units", "shard")]
    keys = sorted({*there["settings"], *now["settings"]})
    pairs += [(key, there["settings"].get(key), now["settings"].get(key)) for key in keys]
    for key, old, new in pairs:
        if old != new:
            remedy = "give the settings that it was begun with, or choose another output folder"
            raise OutputError(mismatch(path, f"a run with {key} {_short(old)}", f"{key} {_short(new)}", remedy))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
