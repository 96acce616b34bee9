"""Reports as lines of JSON to any number of programs on this machine, over a Unix socket.

Whoever connects gets every report from then on. A program that does not read has so much kept for it, then it is cut
off, which it sees as the end of the stream, and counted; the others notice nothing.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path

from storm_edge.listening import listen_on, remove_socket
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.message import as_line

_log = logging.getLogger(__name__)


class UnixSocketSink:
    """A `Sink` that many may listen to.

    Args:
        path: The socket; made with mode 0660.
        most_waiting_bytes: What is kept for a client that does not read, beside what the system keeps [bytes].
        most_clients: Further ones are turned away.

    Raises:
        OutputError: The socket cannot be made, or is in use.
    """

    def __init__(self, path: Path, *, most_waiting_bytes: int, most_clients: int) -> None:
        self.name = f"socket {path.name}"
        self._path, self._most_bytes, self._most_clients = path, most_waiting_bytes, most_clients
        self._listener = listen_on(path)
        self._listener.setblocking(False)
        self._clients: dict[socket.socket, bytearray] = {}
        self._cut_off = self._turned_away = 0

    @property
    def details(self) -> Mapping[str, int]:
        """Clients there are, were cut off, and were turned away."""
        return {"clients": len(self._clients), "cut_off": self._cut_off, "turned_away": self._turned_away}

    def send(self, report: FrameReport) -> None:
        """Hand a line to every client, and what it has not taken yet; never waits for one."""
        self._accept()
        line = (as_line(report) + "\n").encode()
        for client, waiting in list(self._clients.items()):
            waiting += line
            if not self._flush(client, waiting):
                self._end(client)
            elif len(waiting) > self._most_bytes:
                self._cut_off += 1
                _log.warning("%s: a client that does not read is cut off", self.name)
                self._end(client)

    def close(self) -> None:
        """End all connections, and remove the socket."""
        for client in list(self._clients):
            self._end(client)
        remove_socket(self._path, self._listener)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            if len(self._clients) >= self._most_clients:
                self._turned_away += 1
                client.close()
                continue
            client.setblocking(False)
            self._clients[client] = bytearray()

    def _flush(self, client: socket.socket, waiting: bytearray) -> bool:
        """Hand over what the system takes; whether the client is still there."""
        while waiting:
            try:
                del waiting[: client.send(waiting)]
            except BlockingIOError:
                return True
            except OSError:
                return False
        return True

    def _end(self, client: socket.socket) -> None:
        del self._clients[client]
        client.close()
