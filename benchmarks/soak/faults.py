"""What goes wrong in a soak: each fault is begun, lasts a while, and is ended; then all must be well again."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.soak.camera import CLOCK, SILENT
from benchmarks.soak.listeners import TroubledListener
from benchmarks.soak.stage import ABSENT, Stage
from storm_edge.errors import StormEdgeError
from storm_edge.service.control_client import ask

_HOUR_NS = 3_600_000_000_000
_WAIT_S = 15.0


def _nothing() -> None:
    """Where a fault ends by itself."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault."""

    name: str
    begin: Callable[[], None]
    lasts_s: float = 0.0
    end: Callable[[], None] = _nothing


class Faults:
    """All kinds.

    Args:
        stage: Where the service is.
        service_pid: The service's process.
        troubled: Who is stopped and killed.
        has_disk: Whether the state folder is a small file system of its own, that may be filled.
    """

    def __init__(self, stage: Stage, service_pid: int, troubled: TroubledListener, *, has_disk: bool) -> None:
        self._stage, self._pid, self._troubled, self._has_disk = stage, service_pid, troubled, has_disk
        self._clock_ns = 0

    def all(self) -> list[Fault]:
        """In the order in which they come."""
        found = [
            Fault(name="source stalls", begin=self._silence, lasts_s=3.0, end=self._speak),
            Fault(name="source process killed", begin=self._kill_camera, lasts_s=1.0),
            Fault(
                name="subscriber killed",
                begin=lambda: self._troubled.signal(signal.SIGKILL),
                lasts_s=1.0,
                end=self._listen,
            ),
            Fault(
                name="subscriber stopped",
                begin=lambda: self._troubled.signal(signal.SIGSTOP),
                lasts_s=10.0,
                end=self._go_on,
            ),
            Fault(name="NaN from networks", begin=lambda: self._nan(True), lasts_s=2.0, end=lambda: self._nan(False)),
            Fault(name="SIGHUP", begin=lambda: os.kill(self._pid, signal.SIGHUP), lasts_s=1.0),
            Fault(name="clock jump", begin=self._set_clock, lasts_s=1.0),
            Fault(name="object added and removed", begin=self._add, lasts_s=6.0, end=self._remove),
        ]
        if self._has_disk:
            found.insert(4, Fault(name="disk full", begin=self._fill, lasts_s=4.0, end=self._free))
        return found

    def status(self) -> dict[str, Any]:
        """What the service says of itself."""
        return self._ask("status")

    def python_blocks(self) -> int:
        """Pieces of memory that the service's Python objects have."""
        return int(self._ask("soak")["python_blocks"])

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return ask(self._stage.state / "control.sock", command, arguments)

    def _silence(self) -> None:
        (self._stage.camera / SILENT).touch()

    def _speak(self) -> None:
        (self._stage.camera / SILENT).unlink()

    def _kill_camera(self) -> None:
        os.kill(self._ask("soak")["camera_process"], signal.SIGKILL)

    def _listen(self) -> None:
        self._troubled.start()

    def _go_on(self) -> None:
        self._troubled.signal(signal.SIGCONT)
        time.sleep(0.5)
        self._troubled.start()  # it was cut off, and has ended

    def _nan(self, is_on: bool) -> None:
        self._ask("soak", nan=is_on)

    def _set_clock(self) -> None:
        self._clock_ns = _HOUR_NS if self._clock_ns <= 0 else -_HOUR_NS
        new = self._stage.camera / f"{CLOCK}.new"
        new.write_text(str(self._clock_ns))
        new.replace(self._stage.camera / CLOCK)

    def _add(self) -> None:
        self._ask("add", path=str(self._stage.folder / "objects" / ABSENT), name=ABSENT)

    def _remove(self) -> None:
        with suppress(StormEdgeError):
            self._ask("remove", name=ABSENT)

    def _fill(self) -> None:
        before = self.status()["losses"]["failed"]
        self._refill()
        self._ask("record")
        until_s = time.monotonic() + _WAIT_S
        while self.status()["losses"]["failed"] == before and time.monotonic() < until_s:
            self._refill()  # older recordings were removed for the new one
            time.sleep(0.2)

    def _refill(self) -> None:
        free = shutil.disk_usage(self._stage.state).free
        with suppress(OSError), (self._stage.state / "filler").open("ab") as stream:
            stream.write(b"x" * free)

    def _free(self) -> None:
        (self._stage.state / "filler").unlink(missing_ok=True)
        before = self.status()["losses"]["written"]
        self._ask("record")
        until_s = time.monotonic() + _WAIT_S
        while self.status()["losses"]["written"] == before and time.monotonic() < until_s:
            time.sleep(0.2)


def told(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What the service says of what went wrong between two answers to ``status``: counts that rose."""
    counts_before, counts_after = _counts(before), _counts(after)
    return {
        name: count - counts_before.get(name, 0)
        for name, count in counts_after.items()
        if count > counts_before.get(name, 0)
    }


def _counts(status: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = dict(status["source"]["counts"])
    found |= {f"faults.{name}": count for name, count in status["faults"]["frames"].items()}
    found |= {f"non_finite.{name}": count for name, count in status["faults"]["non_finite"].items()}
    found |= {f"losses.{name}": status["losses"][name] for name in ("written", "failed", "given_up")}
    for sink in status["sinks"]:
        kind = sink["name"].split()[0]
        found |= {f"{kind}.{name}": sink[name] for name in ("dropped", "failed")}
        found |= {f"{kind}.{name}": count for name, count in sink["details"].items() if name != "clients"}
    return found
