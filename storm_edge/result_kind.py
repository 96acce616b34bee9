"""Whose a folder is: what each command's results look like, so that nothing of a user's is taken for ours.

A result folder has a marker, a JSON file that says in ``made_by`` which command wrote it. Results of releases that
did not write that are known by the keys that their markers always had. Of a folder that is ours only those files are
ours that its own content names; `result_folder` keeps its hands off everything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_edge import __version__
from storm_edge.parsing import parse_json
from storm_edge.result_sums import SUMS, edited_files

MADE_BY = "made_by"
"""Key of a marker: the command that wrote it, and its version."""
_MARKERS = ("summary.json", "report.json", "object.json", "bench.json", "manifest.json")

Content = Mapping[str, Any]


def _nothing(folder: Path, content: Content) -> Iterable[str]:
    return ()


def _always(folder: Path, content: Content) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class ResultKind:
    """Results of one command."""

    command: str
    """Who writes them, as in ``storm-edge track``."""
    marker: str
    """The JSON file that every one of them has."""
    keys: frozenset[str]
    """Keys that the marker has had in every release."""
    names: frozenset[str] = frozenset()
    """Further files, relative to the folder."""
    folders: frozenset[str] = frozenset()
    """Subfolders, which may be empty."""
    listed: Callable[[Path, Content], Iterable[str]] = _nothing
    """Further files that a folder's own content names, relative to it."""
    is_older: Callable[[Path, Content], bool] = _always
    """Of a marker without ``made_by`` that has the keys: whether it is of this command and not of a like one."""

    sums: bool = True
    """Whether the sums of its files are written beside them, to know one that was changed."""

    @property
    def made_by(self) -> str:
        """What the marker says from now on."""
        return f"{self.command} {__version__}"

    def content(self, folder: Path) -> Content | None:
        """The marker of an older result of this command in ``folder``; None where there is none."""
        content = _read(folder / self.marker)
        if content is None:
            return None
        if MADE_BY in content:
            said = content[MADE_BY]
            return content if isinstance(said, str) and said.rpartition(" ")[0] == self.command else None
        return content if content.keys() >= self.keys and self.is_older(folder, content) else None

    def files(self, folder: Path, content: Content) -> set[str]:
        """Files of an older result, relative to its folder; whether each is there is left open."""
        listed = {Path(name) for name in self.listed(folder, content) if isinstance(name, str)}
        inside = {path.as_posix() for path in listed if not path.is_absolute() and ".." not in path.parts}
        return {self.marker, SUMS, *self.names, *inside}

    def edited(self, folder: Path) -> set[str]:
        """Files of an older result that were changed since it was written, relative to its folder."""
        content = self.content(folder)
        return set() if content is None else edited_files(folder, self.files(folder, content))

    def foreign(self, folder: Path) -> Iterator[str]:
        """What is in a folder and not of an older result, relative to it: files, links, and empty folders.

        A file of the result that was changed since is not of it any more.

        Raises:
            OSError: A subfolder cannot be read.
        """
        content = self.content(folder)
        ours = set() if content is None else self.files(folder, content) - self.edited(folder)
        folders = set() if content is None else set(self.folders)

        def fail(error: OSError) -> None:
            raise error

        for place, below, names in os.walk(folder, onerror=fail):
            where = Path(place).relative_to(folder)
            for name in sorted([*names, *(n for n in below if (Path(place) / n).is_symlink())]):
                relative = (where / name).as_posix()
                if relative not in ours or (Path(place) / name).is_symlink():
                    yield relative
            if not below and not names and where != Path() and where.as_posix() not in folders:
                yield f"{where.as_posix()}/"


def other_maker(folder: Path, kind: ResultKind) -> str | None:
    """Which other command says that it wrote a folder; None where none does."""
    for name in _MARKERS:
        content = _read(folder / name) or {}
        said = content.get(MADE_BY, content.get("format"))  # an object says it in its format
        if isinstance(said, str) and said.startswith("storm-edge ") and said.rpartition(" ")[0] != kind.command:
            return said
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none. A link is not what a command writes."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
