"""Where the pool gets its items from: a source in this process, or processes that draw beside it."""

from __future__ import annotations

import multiprocessing as mp
import queue
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from storm_edge.errors import StormEdgeError
from storm_edge.generator.contract import Batch, Source
from storm_edge.train.sources import SourceFactory

_IMAGE_DIMS = 4  # as in `ring`
_WAITING = 4  # chunks that may wait for the run


class Feed(Protocol):
    """Chunks of items for the pool."""

    chunk: int
    """Items of a chunk."""

    def next(self, *, wait_s: float) -> Batch | None:
        """The next chunk; None where none has come in time.

        Raises:
            StormEdgeError: Whoever draws cannot go on, for what the user gave.
            RuntimeError: It has failed.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; twice is harmless."""
        ...


class SourceFeed:
    """Draws when it is asked, on the source's own device: with one seed exactly reproducible.

    Args:
        source: What draws.
        chunk: Items drawn at a time.
    """

    def __init__(self, source: Source, chunk: int) -> None:
        self._source, self.chunk = source, chunk

    def next(self, *, wait_s: float) -> Batch | None:
        """The next chunk."""
        return self._source.batch(self.chunk)

    def close(self) -> None:
        """Nothing to give back."""


class WorkerFeed:
    """Processes that draw on a CPU while the network learns.

    Args:
        factory: Makes the source of a process.
        chunk: Items drawn at a time.
        workers: How many processes.
        seed: Process ``i`` gets ``seed + i``.
    """

    def __init__(self, factory: SourceFactory, chunk: int, *, workers: int, seed: int) -> None:
        self.chunk = chunk
        context = mp.get_context("spawn")
        self._stop = context.Event()
        self._queue: Any = context.Queue(maxsize=_WAITING)
        self._processes: list[BaseProcess] = [
            context.Process(target=_produce, args=(factory, chunk, seed + i, self._queue, self._stop), daemon=True)
            for i in range(workers)
        ]
        with _signals_kept_from_children():
            for process in self._processes:
                process.start()

    def next(self, *, wait_s: float) -> Batch | None:
        """The next chunk that has arrived."""
        content = self._receive(wait_s)
        if isinstance(content, StormEdgeError):
            raise content
        if isinstance(content, str):
            raise RuntimeError(f"a process that draws items failed:\n{content}")
        if content is None:
            if wait_s > 0.0 and not any(process.is_alive() for process in self._processes):
                raise RuntimeError("every process that draws items has ended without a message")
            return None
        return {key: torch.from_numpy(value) for key, value in content.items()}

    def close(self) -> None:
        """End the processes."""
        self._stop.set()
        for process in self._processes:
            while process.is_alive():
                self._receive(0.1)  # a process cannot end while its last chunk is in the pipe
                process.join(0.05)
        self._processes = []

    def _receive(self, wait_s: float) -> Any:
        try:
            return self._queue.get(timeout=wait_s) if wait_s > 0.0 else self._queue.get_nowait()
        except queue.Empty:
            return None


def _produce(factory: SourceFactory, chunk: int, seed: int, out: Any, stop: Event) -> None:
    """Body of a process: draw chunks until told to stop; a failure is sent and ends the run."""
    parent = mp.parent_process()
    torch.set_num_threads(1)

    def wanted() -> bool:  # a run that was killed cannot tell its processes
        return not stop.is_set() and (parent is None or parent.is_alive())

    try:
        source = factory(seed, torch.device("cpu"))
        while wanted():
            arrays = _packed(source.batch(chunk))
            while wanted():
                try:
                    out.put(arrays, timeout=1.0)
                    break
                except queue.Full:
                    continue
        if parent is not None and not parent.is_alive():
            out.cancel_join_thread()  # nobody will read what is in the pipe
    except StormEdgeError as error:
        out.put(error)
    except Exception:
        out.put(traceback.format_exc())


def _packed(batch: Batch) -> dict[str, NDArray[Any]]:
    """Arrays for the pipe, images as float16 as the pool keeps them."""
    return {
        key: value.numpy().astype(np.float16 if value.ndim >= _IMAGE_DIMS else np.float32)
        for key, value in batch.items()
    }


@contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Processes that are started in the block get no Ctrl-C and no SIGTERM.

    A terminal sends them to all processes of a run, and one that ends in the middle of a chunk would leave the pipe
    torn; `WorkerFeed.close` ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
