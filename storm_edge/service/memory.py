"""Memory of what a service no longer needs, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back_memory() -> None:
    """Have the C library give back what is free; some 10 ms.

    The parts of an object are freed when it is removed, since none refers to what it is a part of
    (`tests/live/test_memory.py`). The C library keeps such memory for itself, tens of MB of an object that was
    searched for, until it is told.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library has it, others need it not
        if trim is not None:
            trim(0)
