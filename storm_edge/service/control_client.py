"""The other end of the control socket: one request, one answer. Imports nothing heavy."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from storm_edge.errors import InputError, RunFault, mismatch
from storm_edge.parsing import parse_json

_LONGEST_WAIT_S = 90.0
"""For an answer; the service gives up a request before [s]."""
_MOST_BYTES = 1 << 24
"""Of an answer."""


def ask(path: Path, command: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Have a service execute a command, and return its answer, JSON types.

    Args:
        path: Its control socket.
        command: Name of the command.
        arguments: Of the command, JSON types.

    Raises:
        InputError: No service listens there, or it may not be asked by this user.
        RunFault: It refused, in its own words, or did not answer.
    """
    request = json.dumps({"command": command, "arguments": dict(arguments or {})}) + "\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_LONGEST_WAIT_S)
        try:
            client.connect(str(path))
        except OSError as error:
            expected = "the control socket of a running service that you may use"
            remedy = "name it by --socket, or ask as its user or as root"
            raise InputError(mismatch(path, error.strerror or error, expected, remedy)) from error
        try:
            with suppress(ConnectionError):  # who is refused may be so before it has asked; the answer says why
                client.sendall(request.encode())
            with client.makefile("rb") as stream:
                line = stream.readline(_MOST_BYTES)
        except OSError as error:
            got = error.strerror or error
            raise RunFault(mismatch(path, got, "an answer", "see what the service does: its log says")) from error
    return _answer(path, line)


def _answer(path: Path, line: bytes) -> dict[str, Any]:
    try:
        answer = parse_json(line)
    except (ValueError, UnicodeDecodeError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        got = "the end of the connection" if not line else "another kind of answer"
        raise RunFault(mismatch(path, got, "an answer of storm-edge run", "check that --socket names its socket"))
    if not answer["ok"]:
        raise RunFault(str(answer.get("error")))
    return {key: value for key, value in answer.items() if key != "ok"}
