"""Memory of what a service no longer needs, given back to the system."""

from __future__ import annotations

import ctypes
import sys
import threading

EVERY_S = 30.0
"""How often memory is given back [s]: the less there is, the shorter it takes."""


def give_back_memory() -> None:
    """Have the C library give back what is free: 1 ms where there is little, 50 ms of an object that was removed.

    The parts of an object are freed when it is removed, since none refers to what it is a part of
    (`tests/live/test_memory.py`). The C library keeps such memory for itself until it is told, 100 MB of an object
    that was searched for.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library has it, others need it not
        if trim is not None:
            trim(0)


class MemoryReturn:
    """Gives memory back now and then, on a thread of its own: what a search needed is free after it, but kept.

    Args:
        every_s: How often [s].
    """

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s, self._ending = every_s, threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End it. Closing twice is harmless."""
        self._ending.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            give_back_memory()
