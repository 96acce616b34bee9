from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from storm_edge.service.notify import Notifier


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.0)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(str(tmp_path / "s") if request.param == "path" else f"@storm-edge-test-{os.getpid()}")
    yield listening
    listening.close()


def test_what_is_told(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address})
    notifier.ready()
    notifier.status("mug TRACKING;\n30 Hz")
    notifier.status("mug TRACKING; 30 Hz")  # the same line is not told again
    notifier.turn()  # no watchdog was asked for
    notifier.reloading()
    notifier.stopping()
    notifier.close()
    notifier.close()
    notifier.ready()
    ready, status, reloading, stopping = systemd.heard()
    assert (ready, status, stopping) == ("READY=1", "STATUS=mug TRACKING; 30 Hz", "STOPPING=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_the_watchdog_is_fed_by_turns_and_not_at_every_one(systemd: Systemd) -> None:
    now_s = 100.0
    environment = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environment, now=lambda: now_s)
    for _ in range(16):  # eight turns a second
        notifier.turn()
        now_s += 0.125
    assert systemd.heard() == ["WATCHDOG=1"] * 4
    now_s += 10.0  # the loop hung: nothing was told meanwhile
    assert systemd.heard() == []
    notifier.close()


@pytest.mark.parametrize("environment", [{"WATCHDOG_USEC": "many"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}, {}])
def test_without_systemd_nothing_is_told(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.ready()
    notifier.turn()
    notifier.stopping()


def test_systemd_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.ready()
    notifier.status("words")
    notifier.close()
