"""The locate lane on a CPU: one thread that looks for lost objects while the frame loop goes on tracking the others.

Work comes as generators, a chunk between two yields. Chunks of all objects take turns, so that a long search does
not keep a short one waiting. Nothing here knows what the work is; `object_loop` hands it in and asks for the answer
at the next frame. One thread, so that two pieces of work never run at once.

A frame loop that says when frames come (`arrive`) and when it tracks them (`tracking`) is kept out of the way of: a
chunk begins only where `scheduler` finds that it fits before the next frame. Otherwise chunks run as they come.

A thread cannot be stopped from outside. A chunk that does not come back is the error of its ticket, noticed where
the lane is asked anything; a new thread goes on with the rest, once. What the lost chunk worked on is lost with it.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from storm_edge.errors import RunFault, mismatch
from storm_edge.kernels.streams import on_stream
from storm_edge.live.config import ScheduleConfig
from storm_edge.live.lanes.scheduler import Grant, Lane, Scheduler

Answer = TypeVar("Answer")

_SWITCH_S = 0.0005
"""How long the thread may hold the interpreter while the frame loop waits for it [s]; Python's 5 ms is a whole
tracked frame."""

NICER = 5
"""By how much the thread gives way to the loop where both want a core; on Linux, where threads have a priority.

Of two busy cores a tracked frame's p99 of waiting for one fell by a tenth to a half in each of four comparisons, its
mean did not, and searches took as long. 10 was no better: who waits for a core may hold the interpreter."""

_LOOK_S = 0.05
"""Time between looks at a chunk that somebody waits for [s]."""

_SERVED = (Lane.VERIFY, Lane.LOCATE)


class Ticket(Generic[Answer]):
    """A piece of work that was handed in; made by `BackgroundLane.submit`."""

    def __init__(
        self, owner: BackgroundLane, number: int, work: Generator[str | None, None, Answer], kind: str
    ) -> None:
        self._owner = owner
        self._number = number
        self._work = work
        self._kind = kind
        # What comes next is known by what came before only. In a registration three chunks tell its stages apart.
        self._before: deque[str] = deque(maxlen=3)
        self._turn = threading.Lock()  # held while a chunk runs
        self._unwanted = False
        self._over = False
        self._answer: Answer | None = None
        self._error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, by itself or by `cancel`, or is lost."""
        self._owner._watch()
        return self._over

    def answer(self) -> Answer | None:
        """What it came to; None if it was cancelled.

        Raises:
            RunFault: A chunk of it hung.
            BaseException: What the work raised, here where it can be handled.
        """
        if self._error is not None:
            raise self._error
        return self._answer

    def cancel(self) -> None:
        """End it; returns when the chunk that runs is done, so that its buffers are free. Twice is harmless.

        Raises:
            RunFault: The chunk hangs; its buffers are not free.
        """
        self._unwanted = True
        self._owner._withdraw(self)
        while not self._turn.acquire(timeout=_LOOK_S):
            self._owner._watch()
            if self._over and self._error is not None:
                raise self._error
        self._over = True
        self._turn.release()

    def _advance(self) -> tuple[bool, str | None]:
        """Do a chunk. Whether it was done, and the kind of the next one if there is one."""
        with self._turn:
            if self._unwanted:
                self._over = True
                return False, None
            answer: Answer | None = None
            error: BaseException | None = None
            try:
                done = next(self._work)
            except StopIteration as end:
                answer = end.value
            except BaseException as caught:  # of any kind: it must not die in a thread that nobody watches
                error = caught
            else:
                self._before.append(done or "a chunk")
                return True, f"{self._kind} after {', '.join(self._before)}"
            self._end(answer, error)
            return True, None

    def _end(self, answer: Answer | None, error: BaseException | None) -> None:
        """Set what it came to, unless it was given up before."""
        with self._owner._news:
            if not self._over:
                self._answer, self._error, self._over = answer, error, True


class BackgroundLane:
    """A context manager that owns the thread; closing twice is harmless.

    Args:
        config: When chunks may begin, where the frame loop says when frames come.
        hang_s: A chunk of a kind that was done before is lost after this time [s].
        first_hang_s: A chunk of a kind never done before, which may have kernels to compile, after this [s].
        stream: CUDA stream that chunks launch on, see `kernels.streams`; None on a CPU.
    """

    def __init__(
        self,
        config: ScheduleConfig | None = None,
        *,
        hang_s: float = 20.0,
        first_hang_s: float = 180.0,
        stream: Any = None,
    ) -> None:
        self._stream = stream
        self._hang_s, self._first_hang_s = hang_s, first_hang_s
        self._scheduler = Scheduler(config)
        self._numbers = itertools.count()
        self._waiting: dict[int, Ticket[object]] = {}
        self._running: tuple[Ticket[object], Grant] | None = None
        self._news = threading.Condition(threading.RLock())
        self._open = False
        self._stop = False
        self._thread: threading.Thread | None = None  # None too once the lane is broken
        self._rebuilt = False
        self._broken: RunFault | None = None
        self._switch_s = sys.getswitchinterval()

    def __enter__(self) -> BackgroundLane:
        sys.setswitchinterval(_SWITCH_S)
        self._open = True
        self._start_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def skipped(self) -> int:
        """Frames that `arrive` was told of and that were never tracked, because a newer one was there."""
        return self._scheduler.skipped

    @property
    def rebuilt(self) -> bool:
        """Whether a chunk hung and another thread took over."""
        return self._rebuilt

    def submit(
        self, work: Generator[str | None, None, Answer], *, kind: str = "work", lane: Lane = Lane.LOCATE
    ) -> Ticket[Answer]:
        """Hand in work; it begins when it is its turn.

        Args:
            work: A chunk between two yields; what it yields is the kind of the chunk that it did.
            kind: What it is; the times of its chunks are kept under this name, and under what they follow.
            lane: Verifying goes before locating.

        Raises:
            RuntimeError: The lane is not open.
            RunFault: Two chunks hung.
        """
        if not self._open:
            raise RuntimeError("the background lane is not open; use it in a with statement")
        with self._news:
            if self._broken is not None:
                raise self._broken
            ticket = Ticket(self, next(self._numbers), work, kind)
            self._waiting[ticket._number] = ticket  # type: ignore[assignment]  # answers go back by the ticket alone
            self._scheduler.submit(lane, ticket._number, f"{kind}, first")
            self._news.notify_all()
        return ticket

    def arrive(self, frame: int, *, next_due_s: float | None = None) -> int | None:
        """A frame is there to be tracked; returns the number of a frame that is skipped for it, if any.

        Args:
            frame: Its number; one that is not newer than all before it is skipped itself.
            next_due_s: When the next one is expected, by `time.monotonic` [s]; None where nobody knows.
        """
        with self._news:
            # Nothing may begin for it that could not before, so the thread is not woken.
            skipped = self._scheduler.arrive(frame, time.monotonic(), next_due_s)
        self._watch()
        return skipped

    @contextmanager
    def tracking(self) -> Iterator[int | None]:
        """While this is open the newest frame that arrived is tracked, and no chunk begins but one overdue.

        Yields:
            The number of the frame; None if there is none.
        """
        with self._news:
            grant = self._scheduler.choose(time.monotonic(), (Lane.TRACK,))
            self._wake()
        try:
            yield None if grant is None else grant.task
        finally:
            if grant is not None:
                with self._news:
                    self._scheduler.ended(grant, time.monotonic())
                    self._wake()

    def close(self) -> None:
        """End the thread after the chunk that runs, unless that hangs; what still waits is not done."""
        if not self._open:
            return
        with self._news:
            self._stop = True
            self._news.notify_all()
        while (thread := self._thread) is not None and thread.is_alive():
            thread.join(_LOOK_S)
            self._watch()
        self._open, self._thread = False, None
        sys.setswitchinterval(self._switch_s)

    def _wake(self) -> None:
        """Have the thread look again, if it waits with work: woken for nothing it would take the interpreter."""
        if self._waiting and self._running is None:
            self._news.notify_all()

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="locate", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        me = threading.current_thread()
        _give_way()
        while (begun := self._next(me)) is not None:
            ticket, grant = begun
            with on_stream(self._stream):
                done, next_kind = ticket._advance()
            with self._news:
                if self._thread is not me:  # it was given up meanwhile
                    return
                self._running = None
                now_s = time.monotonic()
                if not done or ticket._unwanted:
                    next_kind = None
                if done:
                    self._scheduler.ended(grant, now_s, next_kind)
                else:
                    self._scheduler.dropped(grant, now_s)
                if next_kind is None:
                    self._waiting.pop(ticket._number, None)

    def _next(self, me: threading.Thread) -> tuple[Ticket[object], Grant] | None:
        """Wait until a chunk may begin; None when this thread is to end."""
        with self._news:
            while not self._stop and self._thread is me:
                now_s = time.monotonic()
                grant = self._scheduler.choose(now_s, _SERVED)
                if grant is not None:
                    self._running = self._waiting[grant.task], grant
                    return self._running
                self._news.wait(self._scheduler.wait_s(now_s))
        return None

    def _withdraw(self, ticket: Ticket[Answer]) -> None:
        with self._news:
            self._scheduler.withdraw(ticket._number)
            if self._running is None or self._running[0]._number != ticket._number:
                self._waiting.pop(ticket._number, None)

    def _watch(self) -> None:
        """Give up a chunk that hangs: its ticket gets the error; the others a new thread once, then the error."""
        with self._news:
            if self._running is None:
                return
            ticket, grant = self._running
            known = self._scheduler.times.expected_s(grant.kind) is not None
            bound_s = self._hang_s if known else self._first_hang_s
            spent_s = time.monotonic() - grant.began_s
            if spent_s <= bound_s:
                return
            reason = RunFault(
                mismatch(
                    f"{grant.lane.name.lower()} lane",
                    f"no end of a chunk ({grant.kind}) in {spent_s:.3g} s",
                    f"at most {bound_s:g} s",
                    "see what else the machine or the device is doing, and start again",
                )
            )
            self._scheduler.dropped(grant, time.monotonic())
            self._running = None  # the thread ends where its chunk ends, if it does
            del self._waiting[ticket._number]
            ticket._end(None, reason)
            if not self._rebuilt and not self._stop:
                self._rebuilt = True
                self._start_thread()
                return
            self._broken, self._thread = reason, None
            for waiting in self._waiting.values():
                self._scheduler.withdraw(waiting._number)
                waiting._end(None, reason)
            self._waiting.clear()


def _give_way() -> None:
    """Lower the priority of the calling thread; what it is not allowed, or cannot, it goes without."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)
