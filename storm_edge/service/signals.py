"""SIGTERM, SIGINT and SIGHUP, taken note of where they arrive and acted upon between two turns of the loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def signals_to(take: Callable[[int], bool]) -> Iterator[None]:
    """While this is open signals go to ``take``; one that it does not take goes to the handler of before.

    Outside of the main thread, where Python handles no signals, nothing is changed.

    Args:
        take: Takes the number, and says whether the signal was taken.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        if take(number):
            return
        if callable(before[number]):
            before[number](number, frame)
        else:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for given, handler in before.items():
            signal.signal(given, handler)
