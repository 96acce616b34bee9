"""The background thread: work of several frames, done in chunks while the session goes on tracking.

Work comes as a generator, a chunk between two yields. Chunks of all pieces of work take turns, so that a long search
does not keep a short one waiting. Nothing here knows what the work is: the caller submits it, holds a `LaneFuture`
and asks for the result at a later frame. There is one thread, so that two pieces of work never run at once.

A session that says when frames come (`arrive`) and when it tracks them (`tracking`) has precedence: a chunk begins
only where `scheduler` finds that it fits before the next frame. Otherwise chunks run as they come.

A thread cannot be stopped from outside. A chunk that does not come back is an exception of its future, noticed where
the lane is asked anything; a new thread goes on with the other work, once. What the hung chunk worked on is lost.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, TypeVar

from storm_edge.errors import RunFault, mismatch
from storm_edge.kernels.host_threads import launching_on
from storm_edge.kernels.streams import on_stream
from storm_edge.live.config import LanesConfig
from storm_edge.live.lanes.scheduler import Grant, Lane, Scheduler

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)

_SERVED = (Lane.VERIFY, Lane.LOCATE)


@dataclass(eq=False)
class _Job:
    """A piece of work on the lane."""

    number: int
    work: Generator[str | None, None, Any]
    kind: str
    future: Future[Any] = field(default_factory=Future)  # cancelled only while no chunk runs, so never "running"
    # What comes next is known by what came before only. In a registration three chunks tell its stages apart.
    previous_chunks: deque[str] = field(default_factory=lambda: deque(maxlen=3))  # fixed: by the registrar's stages
    chunk_lock: threading.Lock = field(default_factory=threading.Lock)  # held while a chunk runs
    is_cancelled: bool = False

    def run_chunk(self) -> tuple[bool, str | None]:
        """Do a chunk. Whether it was done, and the kind of the next one if there is one."""
        with self.chunk_lock:
            if self.is_cancelled:
                self.future.cancel()
                return False, None
            try:
                kind = next(self.work)
            except StopIteration as end:
                self.finish(end.value)
            except BaseException as error:  # of any kind: it must not die in a thread that nobody watches
                self.fail(error)
            else:
                self.previous_chunks.append(kind or "a chunk")
                return True, f"{self.kind} after {', '.join(self.previous_chunks)}"
            return True, None

    def finish(self, result: object) -> None:
        with suppress(InvalidStateError):  # it was given up before
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # it has ended before
            self.future.set_exception(error)


class LaneFuture(Generic[Answer]):
    """The result of work that was submitted; a thin handle on a `concurrent.futures.Future`."""

    def __init__(self, lane: BackgroundLane, job: _Job) -> None:
        self._lane, self._job = lane, job

    def done(self) -> bool:
        """Whether the work has ended, by itself, by `cancel` or because a chunk of it hung."""
        self._lane.check_hang()
        return self._job.future.done()

    def result(self) -> Answer | None:
        """The result; None if the work was cancelled.

        Raises:
            concurrent.futures.TimeoutError: The work has not ended.
            RunFault: A chunk of it hung.
            BaseException: What the work raised.
        """
        try:
            result: Answer = self._job.future.result(timeout=0.0)
        except CancelledError:
            return None
        return result

    def cancel(self) -> None:
        """End the work; returns when the chunk that runs is done, so that its buffers are free. Twice is harmless.

        Raises:
            RunFault: The chunk hangs; its buffers are not free.
        """
        self._lane.cancel(self._job)


class BackgroundLane:
    """A context manager that owns the thread; closing twice is harmless.

    Args:
        config: When chunks may begin, and when one hangs; the default when None.
        stream: CUDA stream that chunks launch on, see `kernels.streams`; None on a CPU.
        gives_way: Whether its thread has a lower priority from the beginning; else from `give_way` on.
    """

    def __init__(self, config: LanesConfig | None = None, *, stream: Any = None, gives_way: bool = True) -> None:
        self._config = config or LanesConfig()
        self._stream = stream
        self._scheduler = Scheduler(self._config.scheduler)
        self._numbers = itertools.count()
        self._jobs: dict[int, _Job] = {}
        self._running: tuple[_Job, Grant] | None = None
        self._changed = threading.Condition(threading.RLock())
        self._is_open = False
        self._stop = False
        self._thread: threading.Thread | None = None  # None too once the lane is broken
        self._replaced = False
        self._gives_way = gives_way
        self._threads = 1
        self._broken: RunFault | None = None
        self._switch_interval_s = sys.getswitchinterval()

    def __enter__(self) -> BackgroundLane:
        self.open()
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
    def thread_replaced(self) -> bool:
        """Whether a chunk hung and another thread took over."""
        return self._replaced

    def open(self) -> None:
        """Start the thread; `close` ends it."""
        sys.setswitchinterval(self._config.switch_interval_s)
        self._is_open = True
        self._start_thread()

    def submit(
        self, work: Generator[str | None, None, Answer], *, kind: str = "work", lane: Lane = Lane.LOCATE
    ) -> LaneFuture[Answer]:
        """Submit work; it begins when it is its turn.

        Args:
            work: A chunk between two yields; what it yields is the kind of the chunk that it did.
            kind: What it is; the times of its chunks are kept under this name, and under what they come after.
            lane: Verifying goes before locating.

        Raises:
            RuntimeError: The lane is not open.
            RunFault: Two chunks hung.
        """
        if not self._is_open:
            raise RuntimeError("the background lane is not open; use it in a with statement")
        with self._changed:
            if self._broken is not None:
                raise self._broken
            job = _Job(next(self._numbers), work, kind)
            self._jobs[job.number] = job
            self._scheduler.submit(lane, job.number, f"{kind}, first")
            self._changed.notify_all()
        return LaneFuture(self, job)

    def give_way(self) -> None:
        """There is something to track: from now on the thread has a lower priority than who tracks it.

        Before that a search on a machine that is busy with other things would only be slower for it.
        """
        with self._changed:
            if not self._gives_way and self._thread is not None and self._thread.native_id is not None:
                self._gives_way = True
                _lower_priority(self._thread.native_id, self._config.niceness)

    def launch_on(self, threads: int) -> None:
        """How many threads the launches of chunks may use from the next one on (`kernels.host_threads`), 1 at first:
        while something is tracked, the other cores are for that."""
        self._threads = threads

    def arrive(self, frame: int, *, next_due_s: float | None = None) -> int | None:
        """A frame is there to be tracked; returns the number of a frame that is skipped for it, if any.

        Args:
            frame: Its number; one that is not newer than all before it is skipped itself.
            next_due_s: When the next one is expected, by `time.monotonic` [s]; None where nobody knows.
        """
        with self._changed:
            # Nothing may begin for it that could not before, so the thread is not woken.
            skipped = self._scheduler.arrive(frame, time.monotonic(), next_due_s)
        self.check_hang()
        return skipped

    @contextmanager
    def tracking(self) -> Iterator[int | None]:
        """While this is open the newest frame that arrived is tracked, and no chunk begins but one overdue.

        Yields:
            The number of the frame; None if there is none.
        """
        with self._changed:
            grant = self._scheduler.choose(time.monotonic(), (Lane.TRACK,))
            self._wake()
        try:
            yield None if grant is None else grant.task
        finally:
            if grant is not None:
                with self._changed:
                    self._scheduler.ended(grant, time.monotonic())
                    self._wake()

    def cancel(self, job: _Job) -> None:
        """See `LaneFuture.cancel`."""
        job.is_cancelled = True
        with self._changed:
            self._scheduler.withdraw(job.number)
            if self._running is None or self._running[0] is not job:
                self._jobs.pop(job.number, None)
        while not job.chunk_lock.acquire(timeout=self._config.poll_s):
            self.check_hang()
            error = job.future.exception() if job.future.done() and not job.future.cancelled() else None
            if error is not None:
                raise error
        job.future.cancel()
        job.chunk_lock.release()

    def check_hang(self) -> None:
        """Give up a chunk that hangs: its future gets the error; the others a new thread once, then the error."""
        with self._changed:
            if self._running is None:
                return
            job, grant = self._running
            is_known = self._scheduler.times.expected_s(grant.kind) is not None
            limit_s = self._config.hang_s if is_known else self._config.first_hang_s
            spent_s = time.monotonic() - grant.began_s
            if spent_s <= limit_s:
                return
            self._give_up(job, grant, _hung(grant, spent_s, limit_s))

    def close(self) -> None:
        """End the thread after the chunk that runs, unless that hangs; what still waits is not done."""
        if not self._is_open:
            return
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        while (thread := self._thread) is not None and thread.is_alive():
            thread.join(self._config.poll_s)
            self.check_hang()
        self._is_open, self._thread = False, None
        sys.setswitchinterval(self._switch_interval_s)

    def _wake(self) -> None:
        """Have the thread choose again, if it waits with work: woken for nothing it would take the interpreter."""
        if self._jobs and self._running is None:
            self._changed.notify_all()

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="locate", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        me = threading.current_thread()
        with self._changed:
            if self._gives_way:
                _lower_priority(threading.get_native_id(), self._config.niceness)
        while (begun := self._next(me)) is not None:
            job, grant = begun
            with on_stream(self._stream), launching_on(self._threads):
                was_done, next_kind = job.run_chunk()
            with self._changed:
                if self._thread is not me:  # it was given up meanwhile
                    return
                self._running = None
                now_s = time.monotonic()
                if not was_done or job.is_cancelled:
                    next_kind = None
                if was_done:
                    self._scheduler.ended(grant, now_s, next_kind)
                else:
                    self._scheduler.dropped(grant, now_s)
                if next_kind is None:
                    self._jobs.pop(job.number, None)

    def _next(self, me: threading.Thread) -> tuple[_Job, Grant] | None:
        """Wait until a chunk may begin; None when this thread is to end."""
        with self._changed:
            while not self._stop and self._thread is me:
                now_s = time.monotonic()
                grant = self._scheduler.choose(now_s, _SERVED)
                if grant is not None:
                    self._running = self._jobs[grant.task], grant
                    return self._running
                self._changed.wait(self._scheduler.wait_s(now_s))
        return None

    def _give_up(self, job: _Job, grant: Grant, reason: RunFault) -> None:
        _log.warning("%s", reason)
        self._scheduler.dropped(grant, time.monotonic())
        self._running = None  # the thread ends where its chunk ends, if it does
        del self._jobs[job.number]
        job.fail(reason)
        if not self._replaced and not self._stop:
            _log.info("another thread goes on with the other work of the background lane")
            self._replaced = True
            self._start_thread()
            return
        self._broken, self._thread = reason, None
        for waiting in self._jobs.values():
            self._scheduler.withdraw(waiting.number)
            waiting.fail(reason)
        self._jobs.clear()


def _hung(grant: Grant, spent_s: float, limit_s: float) -> RunFault:
    return RunFault(
        mismatch(
            f"{grant.lane.name.lower()} lane",
            f"no end of a chunk ({grant.kind}) in {spent_s:.3g} s",
            f"at most {limit_s:g} s",
            "see what else the machine or the device is doing, and start again",
        )
    )


def _lower_priority(thread: int, niceness: int) -> None:
    """Lower the priority of a thread; what it is not allowed, or cannot, it goes without."""
    if sys.platform == "linux":  # threads have a priority of their own there alone
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)
