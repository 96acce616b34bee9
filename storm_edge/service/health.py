"""Metrics for Prometheus under ``/metrics``, and ``/healthz``: 200 while poses can come, 503 and why otherwise.

Both read the newest snapshot of the service, so that neither can slow the loop. They are served on this machine alone
unless the profile says otherwise.
"""

from __future__ import annotations

import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from storm_edge.errors import BackendError, OutputError, mismatch
from storm_edge.listening import is_loopback
from storm_edge.live.sources import SourceState
from storm_edge.service.beside_sections import HealthSection
from storm_edge.service.state import Phase, ServiceState
from storm_edge.service.status import Recorded

_log = logging.getLogger(__name__)

OLD_AFTER_S = 5.0
"""A loop that has told nothing for so long hangs [s]."""
_TIMEOUT_S = 5.0  # of a client that does not ask or does not read
_MOST_CLIENTS = 8
_POLL_S = 0.1  # how soon it notices its end
_TEXT = "text/plain; charset=utf-8"


class HealthServer:
    """Serves from when it is made until `close`.

    Args:
        section: Where.
        state: Of the service.
        recorded: Gives what became of losses; None where they are not recorded.

    Raises:
        BackendError: A package is missing.
        OutputError: The port is in use, or the address is not of this machine.
    """

    def __init__(self, section: HealthSection, state: ServiceState, recorded: Recorded | None = None) -> None:
        try:
            from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

            from storm_edge.service.metrics import make_registry
        except ImportError as error:
            remedy = "install the extra: pip install 'storm-edge[robot]'"
            raise BackendError(mismatch("health", f"no package {error.name}", "prometheus-client", remedy)) from error
        registry = make_registry(state, recorded)
        where = f"health {section.address}:{section.port}"
        try:
            self._server = _Server(section.address, section.port)
        except OSError as error:
            expected, remedy = "a free port of this machine", "end what uses it, or choose another health.port"
            raise OutputError(mismatch(where, error.strerror or error, expected, remedy)) from error
        self._server.pages = {
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/healthz": lambda: _healthz(state),
        }
        if not is_loopback(section.address):
            _log.warning("%s: whoever reaches this machine by network can read how the service is", where)
        self.port = int(self._server.server_address[1])
        """The TCP port."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="health", daemon=True
        )
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End it. Closing twice is harmless."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout_s)


def why_not_healthy(state: ServiceState) -> str | None:
    """Why no poses can be expected; None where they can."""
    now = state.snapshot
    if now.phase is not Phase.RUNNING:
        return str(now.phase.value)
    if state.age_s > OLD_AFTER_S:
        return f"the loop has told nothing for {state.age_s:.0f} s"
    if now.source.state is not SourceState.RUNNING:
        detail = f" ({now.source.detail})" if now.source.detail else ""
        return f"source {now.source.state.value}{detail}"
    return None


def _healthz(state: ServiceState) -> tuple[HTTPStatus, str, bytes]:
    reason = why_not_healthy(state)
    if reason is not None:
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{reason}\n".encode()
    return HTTPStatus.OK, _TEXT, f"{state.snapshot.words}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    pages: dict[str, Any]

    def __init__(self, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._free = threading.BoundedSemaphore(_MOST_CLIENTS)
        super().__init__((address, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("health: a client went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """A page, or 404."""
        page = self.server.pages.get(self.path.partition("?")[0])
        found = (HTTPStatus.NOT_FOUND, _TEXT, b"/metrics and /healthz are here\n") if page is None else page()
        status, kind, body = found
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: Prometheus asks every few seconds."""
