"""The control socket: other programs of this machine ask how the service is, and tell it what to do.

A request is one line of JSON, ``{"command": NAME, "arguments": {...}}``, the answer another: ``{"ok": true, ...}``,
or ``{"ok": false, "error": LINE}``. A connection may send several. ``status`` is answered from the newest snapshot,
even while the loop hangs; all else is executed by the loop between two frames.

The socket has mode 0660, and whoever connects must be root, the service's user, or a member of the socket's group.
"""

from __future__ import annotations

import grp
import json
import logging
import os
import pwd
import queue
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from pathlib import Path
from typing import Any

from storm_edge.errors import ConfigError, InputError, RunFault, StormEdgeError, mismatch
from storm_edge.listening import listen_on, remove_socket
from storm_edge.parsing import parse_json
from storm_edge.service.state import ServiceState

_log = logging.getLogger(__name__)

MOST_BYTES = 65_536
"""Longest request."""
MOST_CLIENTS = 8
"""Connections at a time; further ones are told so and closed."""
IDLE_S = 30.0
"""A connection that says nothing for so long is closed [s]."""
REPLY_S = 60.0
"""Longest wait for the loop; a new object is made ready in that time [s]."""
STATUS = "status"
_CREDENTIALS = struct.Struct("3i")  # fixed: the system's pid, uid and gid

Status = Callable[[], Mapping[str, Any]]


class ControlServer:
    """Listens from when it is made until `close`.

    Args:
        path: The socket.
        state: Of the service.
        status: Gives the answer to ``status``, JSON types.
        reply_s: Longest wait for the loop [s].

    Raises:
        OutputError: The socket cannot be made, or is in use.
    """

    def __init__(self, path: Path, state: ServiceState, status: Status, *, reply_s: float = REPLY_S) -> None:
        self._path, self._state, self._status, self._reply_s = path, state, status, reply_s
        self._listener = listen_on(path)
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End it, and remove the socket. Closing twice is harmless."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends the wait for the next client
        remove_socket(self._path, self._listener)
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout_s)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            client.settimeout(IDLE_S)
            refusal = self._refusal(client)
            if refusal is not None:
                with client, suppress(OSError):
                    client.sendall(_line(_failed(refusal)))
                continue
            with self._lock:
                self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), name="control client", daemon=True).start()

    def _refusal(self, client: socket.socket) -> str | None:
        """Why a client is not served; None where it is."""
        uid = peer_uid(client)
        if not may_control(uid, self._path):
            _log.warning("control: user %d was refused", uid)
            expected = f"root, user {os.geteuid()} or a member of the socket's group"
            return mismatch("control socket", f"user {uid}", expected, "ask as one of these")
        with self._lock:
            is_full = len(self._clients) >= MOST_CLIENTS
        if is_full:
            return mismatch("control socket", "one more client", f"at most {MOST_CLIENTS}", "end another one")
        return None

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                for line in _lines(client):
                    client.sendall(_line(self.answer(line)))
        finally:
            with self._lock:
                self._clients.discard(client)

    def answer(self, line: bytes | None) -> dict[str, Any]:
        """The answer to a request; None stands for one that is too long."""
        try:
            name, arguments = _request(line)
            if name == STATUS:
                return {"ok": True, **self._status()}
            return {"ok": True, **self._ask(name, arguments)}
        except StormEdgeError as error:
            return _failed(str(error))
        except Exception as error:  # the next request is answered all the same
            _log.exception("control: a request failed")
            return _failed(f"the service failed at this request: {type(error).__name__}")

    def _ask(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            command = self._state.submit(name, arguments)
        except queue.Full as error:
            remedy = "ask again later"
            raise RunFault(
                mismatch(f"command {name}", "too many that wait", "some to be done first", remedy)
            ) from error
        try:
            return command.reply.result(timeout=self._reply_s)
        except FutureTimeout as error:
            command.reply.cancel()
            remedy = "see by status what the service does; the command may still be executed"
            raise RunFault(
                mismatch(f"command {name}", "no answer", f"one within {self._reply_s:g} s", remedy)
            ) from error


def peer_uid(client: socket.socket) -> int:
    """The user at the other end of a Unix socket."""
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])


def may_control(uid: int, path: Path) -> bool:
    """Whether a user is root, ourselves, or a member of the group of the socket."""
    if uid in (0, os.geteuid()):
        return True
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(path.stat().st_gid)
    except (KeyError, OSError):
        return False
    return group.gr_gid in os.getgrouplist(user.pw_name, user.pw_gid)


def _lines(client: socket.socket) -> Any:
    """Requests of a client, one after the other; None for one that is too long, which is the last."""
    waiting = bytearray()
    while data := client.recv(4096):
        waiting += data
        while (end := waiting.find(b"\n")) >= 0:
            line = bytes(waiting[:end])
            del waiting[: end + 1]
            yield line if len(line) <= MOST_BYTES else None
            if len(line) > MOST_BYTES:
                return
        if len(waiting) > MOST_BYTES:
            yield None
            return
    if waiting:
        yield bytes(waiting)


def _request(line: bytes | None) -> tuple[str, Mapping[str, Any]]:
    """Name and arguments of a request.

    Raises:
        InputError: It is none.
    """
    remedy = 'send one line as {"command": "status"}'
    if line is None:
        got, expected = f"more than {MOST_BYTES} bytes", f"at most {MOST_BYTES} in a line"
        raise InputError(mismatch("control request", got, expected, remedy))
    try:
        content = parse_json(line)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(mismatch("control request", error, "a line of JSON", remedy)) from error
    if not isinstance(content, dict):
        raise InputError(mismatch("control request", f"a {type(content).__name__}", "a JSON object", remedy))
    unknown = sorted(set(content) - {"command", "arguments"})
    name, arguments = content.get("command"), content.get("arguments", {})
    if unknown or not isinstance(name, str) or not isinstance(arguments, dict):
        got = f"keys {sorted(content)}"
        raise ConfigError(mismatch("control request", got, "command, a word, and arguments, an object", remedy))
    return name, arguments


def _failed(error: str) -> dict[str, Any]:
    return {"ok": False, "error": " ".join(error.split())}


def _line(answer: Mapping[str, Any]) -> bytes:
    return (json.dumps(answer) + "\n").encode()
