"""Launches on a CPU by several threads at once: each does some rows of a kernel, in memory of their own.

Warp runs the threads of a kernel one after the other, on the thread that launches it, and lets go of the interpreter
meanwhile. A search is mostly such launches, of many poses that know nothing of each other. Who runs work says how
many threads its launches may use (`launching_on`); without a word it is one, as for tracking, whose launches are too
small to be shared. Rows are computed as they would be by one thread, number by number.

Helpers are made when they are first needed, serve the whole process, and end with it. They take slices as they are
free: where another process has their core, who launches does all the work, and has lost nothing but a look.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from queue import SimpleQueue

Launch = Callable[[], None]

_SLICES_PER_THREAD = 3
"""Several, so that a helper that comes late, or rows that take longer, keep nobody waiting for long."""


class _Here(threading.local):
    """What the launches of a thread may use."""

    threads = 1


_here = _Here()


@contextmanager
def launching_on(threads: int) -> Iterator[None]:
    """Let launches of this thread use up to so many threads; within itself it may be entered again."""
    before = _here.threads
    _here.threads = max(threads, 1)
    try:
        yield
    finally:
        _here.threads = before


def slices(count: int, least: int) -> list[tuple[int, int]]:
    """First row and length of the slices in which rows ``[0, count)`` are launched here.

    Args:
        count: Rows.
        least: A slice has no fewer: less work than a millisecond's third is not worth handing over.
    """
    threads = _here.threads
    if threads == 1:
        return [(0, count)]
    number = max(min(_SLICES_PER_THREAD * threads, count // least), 1)
    ends = [count * k // number for k in range(number + 1)]
    return [(first, end - first) for first, end in pairwise(ends)]


def run_at_once(launches: Sequence[Launch]) -> None:
    """Do all launches, in any order, by as many threads as are allowed here; all have ended when this returns.

    Raises:
        BaseException: What one of them raised.
    """
    if len(launches) == 1 or _here.threads == 1:
        for launch in launches:
            launch()
        return
    work = _Work(launches)
    _helpers.offer(work, min(_here.threads, len(launches)) - 1)
    try:
        work.take_part()
    finally:
        work.end()


class _Work:
    """Launches that are to be done."""

    def __init__(self, launches: Sequence[Launch]) -> None:
        self._left = list(launches)
        self._helping: list[threading.Lock] = []
        self._errors: list[BaseException] = []

    def help(self) -> None:
        """Take part on a thread of its own; `end` waits for it."""
        busy = threading.Lock()
        with busy:
            self._helping.append(busy)  # before anything is taken, or `end` might not know of it
            try:
                self.take_part()
            except BaseException as error:  # of any kind: it belongs to who launched
                self._errors.append(error)

    def take_part(self) -> None:
        """Do what is left, until nothing is."""
        left = self._left
        while left:
            try:
                launch = left.pop()
            except IndexError:  # another took the last one
                return
            launch()

    def end(self) -> None:
        """Take nothing more, and wait for what is being done: its memory must be free, Ctrl-C or not."""
        self._left.clear()
        interrupted: BaseException | None = None
        for busy in self._helping:
            while True:
                try:
                    busy.acquire()
                except KeyboardInterrupt as error:
                    interrupted = error
                else:
                    break
        if interrupted is not None:
            raise interrupted
        if self._errors:
            raise self._errors[0]


class _Helpers:
    """The threads that help, as many as were ever needed at once."""

    def __init__(self) -> None:
        self._offers: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._growing = threading.Lock()

    def offer(self, work: _Work, count: int) -> None:
        """Ask ``count`` of them to take part."""
        if len(self._threads) < count:
            with self._growing:
                while len(self._threads) < count:
                    thread = threading.Thread(target=self._run, name="launches", daemon=True)
                    thread.start()
                    self._threads.append(thread)
        for _ in range(count):
            self._offers.put(work)

    def close(self) -> None:
        """End all threads; before the interpreter does, which would stop them wherever they are."""
        for _ in self._threads:
            self._offers.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _run(self) -> None:
        while (work := self._offers.get()) is not None:
            work.help()
            del work  # or its arrays would stay until the next


_helpers = _Helpers()


def _forget_helpers() -> None:
    """In a forked process, which has none of the threads."""
    global _helpers
    _helpers = _Helpers()


def _close_helpers() -> None:
    _helpers.close()


atexit.register(_close_helpers)
if hasattr(os, "register_at_fork"):  # where processes fork at all
    os.register_at_fork(after_in_child=_forget_helpers)
