"""Reports a stage of the session that does not come back: a camera that stopped, a device that hangs.

A thread checks; the stage itself pays two assignments. It cannot stop what hangs, only report it, once per stall, and
leave the rest to the caller (the command ends with status 1). The background lane has a check of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from storm_edge.errors import RunFault, mismatch
from storm_edge.live.config import WatchdogConfig


class Watchdog:
    """A context manager that owns the thread.

    Args:
        tell: Called from that thread with what hangs.
        config: When a stage hangs; the default when None.
    """

    def __init__(self, tell: Callable[[RunFault], None], config: WatchdogConfig | None = None) -> None:
        self._tell, self._config = tell, config or WatchdogConfig()
        self._current: tuple[str, float] | None = None
        self._known: set[str] = set()
        self._told: tuple[str, float] | None = None
        self._stalls = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @property
    def stalls(self) -> int:
        """Times that a stage hung."""
        return self._stalls

    @contextmanager
    def watching(self, stage: str) -> Iterator[None]:
        """While this is open ``stage`` is in progress; one at a time."""
        self._current = stage, time.monotonic()
        try:
            yield
        finally:
            self._current = None
        self._known.add(stage)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._config.poll_s):
            current = self._current
            if current is None or current == self._told:
                continue
            stage, began_s = current
            bound_s = self._config.hang_s if stage in self._known else self._config.first_hang_s
            spent_s = time.monotonic() - began_s
            if spent_s > bound_s:
                self._told = current
                self._stalls += 1
                remedy = "see what the camera, the disc or the device is doing, and start again"
                got = f"no end in {spent_s:.3g} s"
                self._tell(RunFault(mismatch(f"stage {stage}", got, f"at most {bound_s:g} s", remedy)))
