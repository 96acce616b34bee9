"""Says when a stage of the frame loop does not come back: a camera that stopped, a device that hangs.

A thread looks on; the stage itself pays two assignments. It cannot stop what hangs, only say so, once per stall, and
leave the rest to who asked (the command ends with status 1). The locate lane has its own, `background`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from storm_edge.errors import RunFault, mismatch

HANG_S = 120.0
"""Before there is a pose a whole search may be done in one frame, which takes a busy machine half a minute [s]."""


class Watchdog:
    """A context manager that owns the thread.

    Args:
        tell: Called from that thread with what hangs.
        hang_s: Time after which a stage hangs that came back before [s].
        first_hang_s: The same for one that may have kernels to compile [s].
        look_s: Time between two looks [s].
    """

    def __init__(
        self,
        tell: Callable[[RunFault], None],
        *,
        hang_s: float = HANG_S,
        first_hang_s: float = 5.0 * HANG_S,
        look_s: float = 0.25,
    ) -> None:
        self._tell, self._hang_s, self._first_hang_s, self._look_s = tell, hang_s, first_hang_s, look_s
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
        """While this is open ``stage`` is under way; one at a time."""
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
        while not self._stop.wait(self._look_s):
            current = self._current
            if current is None or current == self._told:
                continue
            stage, began_s = current
            bound_s = self._hang_s if stage in self._known else self._first_hang_s
            spent_s = time.monotonic() - began_s
            if spent_s > bound_s:
                self._told = current
                self._stalls += 1
                remedy = "see what the camera, the disc or the device is doing, and start again"
                got = f"no end in {spent_s:.3g} s"
                self._tell(RunFault(mismatch(f"stage {stage}", got, f"at most {bound_s:g} s", remedy)))
