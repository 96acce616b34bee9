"""Places where a program listens: Unix sockets, and whether a network address is this machine alone."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

from storm_edge.errors import OutputError, mismatch

_LONGEST_PATH = 107
"""Bytes of a Unix socket's path; the system takes no more."""
_MODE = 0o660
"""The owner and the group of a socket may connect, nobody else."""


def listen_on(path: Path, *, waiting: int = 16) -> socket.socket:
    """A listening Unix stream socket of mode 0660; one that a killed process left is replaced.

    Args:
        path: Where; its folder is made if need be.
        waiting: Connections that may wait to be accepted.

    Raises:
        OutputError: Somebody listens there, something else is there, or the folder cannot be written.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        got, expected = f"{len(os.fsencode(path))} bytes", f"at most {_LONGEST_PATH} of a socket's path"
        raise OutputError(mismatch(path, got, expected, "choose a shorter path"))
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        made.bind(str(path))
        path.chmod(_MODE)
        made.listen(waiting)
    except OSError as error:
        made.close()
        remedy = "choose another path, or a folder that can be written"
        raise OutputError(mismatch(path, error.strerror or error, "a free place for a socket", remedy)) from error
    except OutputError:
        made.close()
        raise
    return made


def remove_socket(path: Path, of: socket.socket) -> None:
    """Close a listening socket and remove its file, unless somebody else has put another one there."""
    try:
        if of.fileno() >= 0 and of.getsockname() == str(path) and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except OSError:
        pass
    of.close()


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; names other than localhost are taken as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _clear(path: Path) -> None:
    """Remove a socket on which nobody listens any more.

    Raises:
        OutputError: Somebody does, or it is something else.
    """
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OutputError(
            mismatch(path, "another file", "a free place for a socket", "move it, or choose another path")
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                path.unlink()
                return
            if error.errno == errno.ENOENT:
                return
    raise OutputError(
        mismatch(path, "a socket in use", "a free place", "end the other service, or choose another path")
    )
