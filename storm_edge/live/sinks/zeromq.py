"""Reports to any number of subscribers over ZeroMQ, on this machine or in a network.

A message has two parts: the topic, and the report packed by msgpack or as JSON. A subscriber that does not keep up
loses messages without anybody being told, that is how PUB sockets are: ``sequence`` counts what was sent, so that it
sees the gap. Neither the others nor this side notice.
"""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from storm_edge.errors import BackendError, ConfigError, OutputError, mismatch
from storm_edge.listening import is_loopback
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.message import as_message

_log = logging.getLogger(__name__)

TOPIC = b"storm-edge"  # fixed: part of the message format
Encoding = Literal["msgpack", "json"]


class ZeroMqSink:
    """A `Sink` that publishes.

    Args:
        endpoint: Where it binds: ``tcp://127.0.0.1:5556`` or ``ipc:///run/storm-edge/poses``.
        encoding: How a report is packed.
        most_waiting: Messages that are kept for a subscriber that does not keep up.

    Raises:
        BackendError: A package is missing.
        ConfigError: An endpoint of another form.
        OutputError: It is in use, or may not be bound.
    """

    def __init__(self, endpoint: str, *, encoding: Encoding, most_waiting: int) -> None:
        self.name = f"zeromq {endpoint}"
        self._pack = _packer(encoding)
        try:
            import zmq
        except ImportError as error:
            raise _missing(self.name, error) from error
        _check(endpoint)
        self._sequence = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, most_waiting)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            remedy = "end what uses it, or choose another endpoint"
            raise OutputError(mismatch(self.name, error.strerror, "a free endpoint", remedy)) from error
        self.endpoint = str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))
        """Where it is bound; with the port where that was left open."""

    def send(self, report: FrameReport) -> None:
        """Publish a report; never waits for a subscriber."""
        self._sequence += 1
        message = {"sequence": self._sequence, **as_message(report)}
        self._socket.send_multipart([TOPIC, self._pack(message)])

    def close(self) -> None:
        """End it; what subscribers have not been sent is given up. Closing twice is harmless."""
        self._socket.close()
        self._context.term()


def _packer(encoding: Encoding) -> Callable[[dict[str, Any]], bytes]:
    if encoding == "json":
        return lambda message: json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    try:
        import msgpack
    except ImportError as error:
        raise _missing("zeromq", error) from error
    pack: Callable[[dict[str, Any]], bytes] = msgpack.packb
    return pack


def _check(endpoint: str) -> None:
    """Refuse an endpoint of another form, and a file that ZeroMQ would replace by its socket; warn of open ones."""
    scheme, _, rest = endpoint.partition("://")
    if scheme == "ipc" and rest:
        path = Path(rest)
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise OutputError(mismatch(endpoint, "another file there", "a free place", "choose another path"))
        return
    host = urlsplit(endpoint).hostname if scheme == "tcp" else None
    if host is None:
        expected = "tcp://ADDRESS:PORT or ipc://PATH"
        raise ConfigError(mismatch("sink endpoint", repr(endpoint), expected, "correct that value"))
    if not is_loopback(host):
        _log.warning("zeromq %s: whoever reaches this machine by network can read the poses", endpoint)


def _missing(what: str, error: ImportError) -> BackendError:
    remedy = "install the extra: pip install 'storm-edge[robot]'"
    return BackendError(mismatch(what, f"no package {error.name}", "pyzmq and msgpack", remedy))
