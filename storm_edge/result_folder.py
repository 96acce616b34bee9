"""Result folders that appear whole or not at all, and never take anything of a user's with them.

A result is written under a hidden name, ``.OUT.partial-PID``, and takes its own name when it is complete. An older
result of the same command gives way in one step, by exchanging the two names; where the file system cannot do that it
first gets the name ``.OUT.older-PID``, from which the next run brings it back if this one was killed in between.
Only files that the older result names are removed. What is ours is `result_kind`.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from itertools import count, islice
from pathlib import Path
from types import TracebackType

from storm_edge.errors import OutputError, mismatch
from storm_edge.folder_swap import exchange, free_name, is_locked, keep_foreign, lock, make_like, remove_ours
from storm_edge.interruption import Interruption
from storm_edge.result_kind import ResultKind, other_maker
from storm_edge.result_sums import write_sums

_LOG = logging.getLogger(__name__)
_REMEDY = "choose another output folder"
_NAMED = 3  # files that a refusal names

_open_folders: set[Path] = set()


def unfinished() -> list[Path]:
    """Hidden folders that results are being written to, for whoever ends the process at once."""
    return sorted(_open_folders)


def check_replaceable(
    out: Path | str, kind: ResultKind, *, force: bool = False, inputs: Sequence[Path | str | None] = ()
) -> None:
    """Refuse an output folder that `ResultFolder` would refuse, before the work that fills it.

    Args:
        out: The folder.
        kind: What is to be written to it.
        force: Whether files that are not ours may lie beside it; they are kept.
        inputs: What is read: the folder must not be one of them, nor hold one.

    Raises:
        OutputError: ``out`` is a file, holds other things than an older result, or cannot be written.
    """
    target = _target(out)
    for given in inputs:
        place = Path(os.path.realpath(given or "/"))
        if given is not None and place.exists() and target in (place, *place.parents):
            what = "an input" if target == place else "a folder with an input"
            raise OutputError(mismatch(out, f"{what} ({given})", "a folder of its own", _REMEDY))
    for place, what in ((Path(os.path.realpath(".")), "the folder you are in"), (_home(), "your home")):
        if target == place or target in place.parents:
            got = what if target == place else f"a folder that holds {what}"
            raise OutputError(mismatch(out, got, "a folder of its own", _REMEDY))
    _recover(target)
    if target.is_dir():
        _check_folder(Path(out), target, kind, force=force)
    elif os.path.lexists(target):
        raise OutputError(mismatch(out, "a file", "a folder to write", _REMEDY))
    place = next(parent for parent in target.parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        got = "no permission to write" if place.is_dir() else "a file"
        raise OutputError(mismatch(out, f"{got} at {place}", "a folder that can be written", _REMEDY))


class ResultFolder:
    """A context manager: `folder` is where to write; it takes the name ``out`` when the block ends without an error.

    When the block fails the hidden folder is removed and an older result stays as it was. A link is followed: what
    it points to gets the result.

    Args:
        out: The folder.
        kind: What is written.
        force: Whether files that are not ours may be in it; they are kept beside the result, under their names, or
            with ``.kept`` behind it where the result has a file of that name.

    Raises:
        OutputError: ``out`` is something else than an older result, is being written by another run, or cannot be
            written.
    """

    def __init__(self, out: Path | str, kind: ResultKind, *, force: bool = False) -> None:
        self.out, self.kind, self.force = Path(out), kind, force
        self.complete = True
        """Set it to False for a result that ended early: it does not replace an older one, but goes to
        ``OUT.partial``."""
        self.folder = Path()
        """Where to write."""
        self._target = Path()
        self._made: list[Path] = []
        self._lock = -1

    def __enter__(self) -> ResultFolder:
        check_replaceable(self.out, self.kind, force=self.force)
        self._target = _target(self.out)
        self._made = [parent for parent in self._target.parents if not parent.exists()]
        try:
            with _writing(self.out):
                self._open()
        except BaseException:
            self._clear()
            raise
        return self

    def _open(self) -> None:
        """Make the hidden folder, and say by a lock that it is being written."""
        parent, name = self._target.parent, self._target.name
        parent.mkdir(parents=True, exist_ok=True)
        # A killed process may have had our number, above all in containers.
        folder = free_name(parent / f".{name}.partial-{os.getpid()}", "")
        folder.mkdir()
        self.folder = folder
        _open_folders.add(folder)
        self._lock = os.open(folder, os.O_RDONLY)
        lock(self._lock)
        for other in parent.glob(f".{escape(name)}.partial-*"):
            if other != folder and is_locked(other):
                remedy = "wait for it, or choose another output folder"
                raise OutputError(mismatch(self.out, f"another run that writes {other.name}", "one run", remedy))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with Interruption(held=True), _writing(self.out):
                    if self.kind.sums:
                        write_sums(self.folder)
                    self._put_in_place()
        finally:
            self._clear()

    def place(self) -> Path:
        """Where the result goes: ``out``, or ``OUT.partial`` for one that must not replace an older one."""
        if self.complete or not self._target.is_dir() or not any(self._target.iterdir()):
            return self.out
        beside = self._target if self.out.is_symlink() else self.out
        for number in count(1):
            place = beside.with_name(f"{beside.name}.partial{'' if number == 1 else f'-{number}'}")
            with suppress(OutputError):
                check_replaceable(place, self.kind)
                return place
        raise AssertionError

    def _put_in_place(self) -> None:
        place = self.place()
        target = self._target if place == self.out else _target(place)
        # From here on the hidden name may be the older result's: nothing is cleared away any more.
        folder, self.folder = self.folder, Path()
        try:
            if not os.path.lexists(target):
                folder.rename(target)
                return
            self._check_again(target)
            kept = keep_foreign(self.kind, target, folder, {})
            make_like(target, folder)
            older = exchange(folder, target)
        except (OSError, OutputError) as error:
            got = error.strerror or error if isinstance(error, OSError) else error
            remedy = f"the new result is in {folder}; give it another name"
            raise OutputError(mismatch(place, got, "a name that the result can take", remedy)) from error
        finally:
            _open_folders.discard(folder)
        try:
            kept = keep_foreign(self.kind, older, target, kept)  # with what came meanwhile
            remove_ours(self.kind, older, kept)
        except OSError as error:
            _LOG.warning("%s: not all of the older result could be removed (%s)", older, error.strerror or error)

    def _check_again(self, target: Path) -> None:
        """Refuse a folder that another program has put there during the run."""
        if not target.is_dir():
            raise OutputError(mismatch(target, "a file", "a folder to write", _REMEDY))
        if self.kind.content(target) is None:
            _check_folder(target, target, self.kind, force=self.force)

    def _clear(self) -> None:
        """Let go of everything, and remove what has not taken its place."""
        if self.folder != Path():
            _open_folders.discard(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path()
        for parent in self._made:  # those that are empty
            with suppress(OSError):
                parent.rmdir()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def atomic_folder(out: Path | str, kind: ResultKind, *, force: bool = False) -> Iterator[Path]:
    """`ResultFolder` for results that are complete or not written: the block gets the folder to write to.

    ::

        with atomic_folder("out", TRACK) as folder:
            (folder / "summary.json").write_text(...)
    """
    with ResultFolder(out, kind, force=force) as result:
        yield result.folder


def _home() -> Path:
    return Path(os.path.realpath(os.path.expanduser("~")))


def _target(out: Path | str) -> Path:
    """The folder itself, links followed."""
    target = Path(os.path.realpath(out))
    if target.is_symlink():  # to itself
        raise OutputError(mismatch(out, "a link that leads nowhere", "a folder to write", _REMEDY))
    return target


def _check_folder(out: Path, target: Path, kind: ResultKind, *, force: bool) -> None:
    """Refuse an existing folder that is not to be replaced."""
    if os.path.ismount(target):
        raise OutputError(mismatch(out, "where a disc is mounted", "a folder inside it", _REMEDY))
    if not os.access(target, os.W_OK) or not target.stat().st_mode & 0o222:  # root may, but is told as well
        raise OutputError(mismatch(out, "a folder that is read-only", "a folder that can be written", _REMEDY))
    with _writing(out):
        if not any(target.iterdir()):
            return
        other = other_maker(target, kind)
        if other is not None and kind.content(target) is None:
            raise OutputError(mismatch(out, f"a result of {other}", f"one of {kind.command}, or none", _REMEDY))
        expected = f"a new folder or a result of {kind.command}"
        if kind.content(target) is None and os.path.lexists(target / kind.marker):
            got = f"a folder with a {kind.marker} that {kind.command} did not write"
            raise OutputError(mismatch(out, got, expected, _REMEDY))
        foreign = [] if force else list(islice(kind.foreign(target), _NAMED + 1))
    if foreign:
        named = ", ".join(foreign[:_NAMED]) + (" and more" if len(foreign) > _NAMED else "")
        changed = set(foreign) <= kind.edited(target)
        got = f"{'a result with files that were changed since' if changed else 'a folder with other files'} ({named})"
        remedy = f"{_REMEDY}, or add --force to keep them beside the result"
        raise OutputError(mismatch(out, got, expected, remedy))


def _recover(target: Path) -> None:
    """Give an older result its name back, if a run was killed while it was being replaced."""
    if os.path.lexists(target):
        return
    kept = [path for path in target.parent.glob(f".{escape(target.name)}.older-*") if path.is_dir()]
    running = [path for path in target.parent.glob(f".{escape(target.name)}.partial-*") if is_locked(path)]
    if kept and not running:
        newest = max(kept, key=lambda path: path.stat().st_mtime_ns)
        with _writing(target):
            newest.rename(target)
        _LOG.warning("%s: an earlier run was killed while it was replaced; the older result is back", target)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """The system's refusals as ours."""
    try:
        yield
    except OSError as error:
        got = error.strerror or error
        raise OutputError(mismatch(path, got, "a folder that can be written", _REMEDY)) from error
