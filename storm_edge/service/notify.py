"""What systemd is told: that the service is ready, alive, reloading or stopping, and a line of status.

The protocol is datagrams to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3)). Without one nothing is sent. The
watchdog is fed by the turns of the loop alone: a loop that hangs starves it.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

_FED_PER_INTERVAL = 4  # twice as often as systemd asks for
_WAIT_S = 0.5  # for what must arrive, where systemd's queue is full


class Notifier:
    """Tells systemd; does nothing where no systemd asked to be told.

    Args:
        environment: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are read there.
        now: The clock [s].
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        environment = os.environ if environment is None else environment
        self._now = now
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_WAIT_S)
        self._feed_every_s = _watchdog_s(environment) / _FED_PER_INTERVAL
        self._fed_s = -self._feed_every_s
        self._status = ""

    def ready(self) -> None:
        """It has started, or has reloaded."""
        self._send("READY=1")

    def reloading(self) -> None:
        """It reads its objects again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    def status(self, words: str) -> None:
        """A line of status, where it is another one."""
        line = " ".join(words.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}", waits=False)

    def turn(self) -> None:
        """The loop has come round; feeds the watchdog where that is due."""
        now_s = self._now()
        if self._feed_every_s > 0.0 and now_s - self._fed_s >= self._feed_every_s:
            self._fed_s = now_s
            self._send("WATCHDOG=1", waits=False)

    def close(self) -> None:
        """Say no more. Closing twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str, *, waits: bool = True) -> None:
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto(message.encode(), 0 if waits else socket.MSG_DONTWAIT, address)
        except OSError as error:  # systemd is restarting, or its queue is full
            _log.debug("systemd was not told %s: %s", message, error)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Time within which systemd wants to hear of the service [s]; 0 where it does not."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return max(int(environment.get("WATCHDOG_USEC", "0")), 0) * 1e-6
    except ValueError:
        return 0.0
