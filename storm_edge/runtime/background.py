"""The locate lane on a CPU: one thread that looks for lost objects while the frame loop goes on tracking the others.

Work comes as generators, a chunk between two yields. Chunks of all objects take turns, so that a long search does
not keep a short one waiting. Nothing here knows what the work is; `object_loop` hands it in and asks for the answer
at the next frame. One thread, so that two pieces of work never run at once.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Generator
from types import TracebackType
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

_SWITCH_S = 0.0005
"""How long the thread may hold the interpreter while the frame loop waits for it [s]; Python's 5 ms is a whole
tracked frame."""


class Ticket(Generic[Answer]):
    """A piece of work that was handed in; made by `BackgroundLane.submit`."""

    def __init__(self, work: Generator[None, None, Answer]) -> None:
        self._work = work
        self._turn = threading.Lock()  # held while a chunk runs
        self._unwanted = False
        self._over = False
        self._answer: Answer | None = None
        self._error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, by itself or by `cancel`."""
        return self._over

    def answer(self) -> Answer | None:
        """What it came to; None if it was cancelled.

        Raises:
            BaseException: What the work raised, here where it can be handled.
        """
        if self._error is not None:
            raise self._error
        return self._answer

    def cancel(self) -> None:
        """End it; returns when the chunk that runs is done, so that its buffers are free. Twice is harmless."""
        self._unwanted = True
        with self._turn:
            self._over = True

    def _advance(self) -> None:
        with self._turn:
            if self._unwanted:
                self._over = True
                return
            try:
                next(self._work)
            except StopIteration as done:
                self._answer, self._over = done.value, True
            except BaseException as error:  # of any kind: it must not die in a thread that nobody watches
                self._error, self._over = error, True


class BackgroundLane:
    """A context manager that owns the thread; closing twice is harmless."""

    def __init__(self) -> None:
        self._waiting: deque[Ticket[object]] = deque()
        self._news = threading.Condition()
        self._stop = False
        self._thread: threading.Thread | None = None
        self._switch_s = sys.getswitchinterval()

    def __enter__(self) -> BackgroundLane:
        sys.setswitchinterval(_SWITCH_S)
        self._thread = threading.Thread(target=self._run, name="locate", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, work: Generator[None, None, Answer]) -> Ticket[Answer]:
        """Hand in work; it begins when it is its turn.

        Raises:
            RuntimeError: The lane is not open.
        """
        if self._thread is None:
            raise RuntimeError("the background lane is not open; use it in a with statement")
        ticket = Ticket(work)
        with self._news:
            self._waiting.append(ticket)  # type: ignore[arg-type]  # answers go back by the ticket alone
            self._news.notify()
        return ticket

    def close(self) -> None:
        """End the thread after the chunk that runs; what still waits is not done."""
        if self._thread is None:
            return
        with self._news:
            self._stop = True
            self._news.notify()
        self._thread.join()
        self._thread = None
        sys.setswitchinterval(self._switch_s)

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._stop:
                    self._news.wait()
                if self._stop:
                    return
                ticket = self._waiting.popleft()
            ticket._advance()
            if not ticket.over:
                with self._news:
                    self._waiting.append(ticket)
