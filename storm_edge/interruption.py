"""Ctrl-C and SIGTERM in the middle of work that must not be torn, or whose results are to be kept.

Python raises `KeyboardInterrupt` wherever the interpreter is: in half a line of a log, between two renames, or in a
callback of native code, which prints it and goes on. While an `Interruption` is open a signal ends the work at a
place that was chosen; when it closes the signal takes its usual course, as if it had arrived just then.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, TypeVar, cast

ENDED_BY = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What a result says of the signal that ended its run."""
_Item = TypeVar("_Item")
SAME_PRESS_S = 0.1
"""A signal that follows so soon is the same one: what starts us may pass on what the terminal has sent us, too."""


class Stopped(BaseException):
    """A signal asked the work to end; no error, so `except Exception` lets it pass, and never leaves the
    `Interruption` that raised it.
    """


class Interruption:
    """A context manager: the first signal raises `Stopped`, or is kept for later while signals are held.

    When the block ends, by `Stopped` or without an error, the handler that was there before is called. A second
    signal goes to that handler at once. Outside of the main thread, where Python handles no signals, it does nothing.

    Args:
        held: Whether they are from the beginning.
    """

    def __init__(self, *, held: bool = False) -> None:
        self._number: int | None = None
        self._at_s = 0.0
        self._held = held
        self._before: dict[int, Any] = {}

    @property
    def is_asked(self) -> bool:
        """Whether a signal has arrived."""
        return self._number is not None

    @property
    def ended_by(self) -> str | None:
        """``interrupted`` or ``terminated``; None before a signal."""
        return None if self._number is None else ENDED_BY[signal.Signals(self._number)]

    def hold(self) -> None:
        """From now on a signal is kept for later."""
        self._held = True

    @contextmanager
    def released(self) -> Iterator[None]:
        """While this is open a signal raises, also one that was held before.

        Raises:
            Stopped: A signal arrived.
        """
        self._held = False
        try:
            if self._number is not None:
                raise Stopped
            yield
        finally:
            self._held = True

    def until_asked(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """The same items until a signal arrives; it is held while one is with the caller, and afterwards.

        Raises:
            Stopped: It arrived before there was one.
        """
        self.hold()
        count = 0
        try:
            while True:
                with self.released():
                    item = next(items, self)
                if item is self:
                    return
                count += 1
                yield cast(_Item, item)
        except Stopped:
            if not count:
                raise

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in ENDED_BY:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._number is not None and (error is None or isinstance(error, Stopped)):
            self._pass_on(self._number, None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._number is None:
            self._number, self._at_s = number, now_s
            if not self._held:
                raise Stopped
        elif now_s - self._at_s > SAME_PRESS_S:
            self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number, signal.SIG_DFL)
        if callable(before):
            before(number, frame)
        else:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
