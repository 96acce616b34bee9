"""One result folder in the place of another: what is kept, what is removed, and how names are exchanged.

Whether a folder may be replaced at all is `result_folder`'s to say.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

from storm_edge.result_kind import ResultKind

_LOG = logging.getLogger(__name__)
_AT_CWD, _EXCHANGE = -100, 2  # of renameat2, linux/fcntl.h and linux/fs.h
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EOPNOTSUPP, errno.EPERM}


def keep_foreign(kind: ResultKind, older: Path, newer: Path, kept: dict[str, Path]) -> dict[str, Path]:
    """Give what is not ours in ``older`` further names in ``newer``: those of ``kept`` have theirs; returns all."""
    found = dict(kept)
    for relative in list(kind.foreign(older)):
        if relative in kept:
            continue
        source, place = older / relative, newer / relative
        is_folder = relative.endswith("/")
        if any((newer / parent).is_file() for parent in Path(relative).parents):
            place = newer / relative.strip("/").replace("/", "_")
        if os.path.lexists(place) and not (is_folder and place.is_dir()):
            place = free_name(place, ".kept")
            _LOG.warning("%s is kept as %s: the result has something of that name", relative, place.name)
        if is_folder:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copymode(source, place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(source, place)
        found[relative] = place
    return found


def remove_ours(kind: ResultKind, older: Path, kept: Mapping[str, Path]) -> None:
    """Remove what is ours of an older result, and the older names of what was kept; and no more."""
    content = kind.content(older)
    ours = set() if content is None else kind.files(older, content)
    foreign = set(kind.foreign(older))  # all of it, where there is no marker of ours
    for relative in sorted(foreign & kept.keys()):
        if not relative.endswith("/"):
            (older / relative).unlink()
    for relative in sorted(ours - foreign - {kind.marker}):
        with suppress(FileNotFoundError, NotADirectoryError):
            (older / relative).unlink()
    if content is not None:
        # Last, for until then it says whose folder this is; one that was changed was kept, and is gone already.
        (older / kind.marker).unlink(missing_ok=True)
    for place, _, _ in os.walk(older, topdown=False):
        os.rmdir(place)


def make_like(older: Path, newer: Path) -> None:
    """The mode and the owner of the older folder, as far as we may."""
    found = older.stat()
    with suppress(OSError):
        os.chown(newer, found.st_uid, found.st_gid)
    shutil.copymode(older, newer)


def exchange(newer: Path, target: Path) -> Path:
    """Give ``newer`` the name ``target``; returns where the older one is now."""
    replaced = free_name(target.parent / f".{target.name}.replaced-{os.getpid()}", "")
    if _rename_both(newer, target):
        older = newer
    else:
        older = free_name(target.parent / f".{target.name}.older-{os.getpid()}", "")
        target.rename(older)
        try:
            newer.rename(target)
        except OSError:
            older.rename(target)
            raise
    with suppress(OSError):
        older.rename(replaced)
        return replaced
    return older


def free_name(place: Path, suffix: str) -> Path:
    """A name that nothing has, as like ``place`` with ``suffix`` as can be."""
    names = (place.with_name(f"{place.name}{suffix}{'' if n == 1 else f'-{n}'}") for n in count(1))
    return next(name for name in names if not os.path.lexists(name))


def lock(descriptor: int) -> bool:
    """Lock an open folder; False if another process has. Where folders cannot be locked it counts as done."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_locked(folder: Path) -> bool:
    """Whether a running process writes a hidden folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


def _link(source: Path, place: Path) -> None:
    """A second name of a file; a copy where the file system has no such thing."""
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError:
        if not stat.S_ISREG(source.lstat().st_mode) and not source.is_symlink():
            raise
        shutil.copy2(source, place, follow_symlinks=False)


def _rename_both(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system or the file system cannot."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    if function(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))
