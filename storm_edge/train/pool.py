"""The pool of pairs a run trains on, kept fresh by processes that render while the network learns.

Rendering a pair costs about as much as a training step on it. The pool lets a pair be used several times (mirrored
and turned differently each time, see `augment`) while new ones push the oldest out.
"""

from __future__ import annotations

import multiprocessing as mp
import queue
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from storm_edge.choices import Network

Arrays = dict[str, NDArray[np.float32]]
_IMAGES = ("rendered", "observed", "image", "objects", "views", "mask", "crops")


class PairSource(Protocol):
    """What draws pairs or sets; `storm_edge.synthetic.pairs.PairSampler` is one."""

    def refine_batch(self, n: int) -> Arrays:
        """``rendered``, ``observed`` ``(n, 6, S, S)``, ``trans_target``, ``rot_target`` ``(n, 3)``."""

    def score_batch(self, sets: int, hypotheses: int) -> Arrays:
        """``rendered``, ``observed`` ``(sets, hypotheses, 6, S, S)``, ``add_error`` ``(sets, hypotheses)``."""


class QuerySource(Protocol):
    """What draws pictures for the segmenter; `storm_edge.synthetic.queries.QuerySampler` is one."""

    def query_batch(self, n: int) -> Arrays:
        """``image``, ``objects``, ``views``, ``mask``, ``present``; see there."""


class GroupSource(Protocol):
    """What draws groups of crops; `storm_edge.synthetic.verification.GroupSampler` is one."""

    def group_batch(self, n: int) -> Arrays:
        """``crops`` ``(n, G, 6, S, S)``, ``good`` ``(n, G)``."""


Source = PairSource | QuerySource | GroupSource
SourceFactory = Callable[[int], Source]
"""Makes a source from a seed; must be importable by name, since worker processes unpickle it."""


def draw(source: Any, network: Network, count: int, hypotheses: int) -> Arrays:
    """``count`` items for ``network``: pairs, sets, pictures or groups of crops; the images as float16."""
    if network is Network.REFINE:
        arrays = source.refine_batch(count)
    elif network is Network.SCORE:
        arrays = source.score_batch(count, hypotheses)
    else:
        arrays = source.query_batch(count) if network is Network.SOM else source.group_batch(count)
    return {k: v.astype(np.float16 if k in _IMAGES else np.float32) for k, v in arrays.items()}


def _produce(
    factory: SourceFactory, network: Network, chunk: int, hypotheses: int, seed: int, out: Any, stop: Event
) -> None:
    """Body of a worker process: draw chunks until told to stop; a failure is sent and ends the run."""
    parent = mp.parent_process()

    def wanted() -> bool:  # a run that was killed cannot tell its workers
        return not stop.is_set() and (parent is None or parent.is_alive())

    try:
        source = factory(seed)
        while wanted():
            arrays = draw(source, network, chunk, hypotheses)
            while wanted():
                try:
                    out.put(arrays, timeout=1.0)
                    break
                except queue.Full:
                    continue
        if parent is not None and not parent.is_alive():
            out.cancel_join_thread()  # nobody will read what is in the pipe
    except Exception:
        out.put(traceback.format_exc())


@contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Processes that are started in the block get no Ctrl-C and no SIGTERM.

    A terminal sends them to all processes of a run, and one that ends in the middle of a chunk would leave the pipe
    torn; `PairPool.close` ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """Size and pace of a pool."""

    capacity: int
    """Items kept."""
    chunk: int
    """Items drawn at a time."""
    hypotheses: int
    """Hypotheses per item of ScoreNet."""
    reuse: float
    """How often an item is used on average."""
    workers: int
    """Processes; 0 draws in this process instead, exactly reproducible."""
    seed: int
    """Of the sources (worker ``i`` gets ``seed + i``) and of which items are picked."""


class PairPool:
    """The newest ``capacity`` items; a context manager, since it may own processes.

    Args:
        factory: Makes the source of pairs.
        network: Which kind of items.
        config: Size and pace.
    """

    def __init__(self, factory: SourceFactory, network: Network, config: PoolConfig) -> None:
        chunk, hypotheses, seed = config.chunk, config.hypotheses, config.seed
        self._network, self._hypotheses, self._chunk = network, hypotheses, chunk
        self._capacity = max(config.capacity // chunk, 1) * chunk
        self._storage: dict[str, Tensor] = {}
        self._rng = np.random.default_rng(seed)
        self._reuse = config.reuse
        self._allowed = 0.0  # items that may be drawn by now
        self.drawn = 0
        self._source = factory(seed) if config.workers == 0 else None
        context = mp.get_context("spawn")
        self._stop = context.Event()
        self._queue: Any = context.Queue(maxsize=4)
        self._processes: list[BaseProcess] = [
            context.Process(
                target=_produce,
                args=(factory, network, chunk, hypotheses, seed + i, self._queue, self._stop),
                daemon=True,
            )
            for i in range(config.workers)
        ]
        with _signals_kept_from_children():
            for process in self._processes:
                process.start()

    def __enter__(self) -> PairPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes; closing twice is harmless."""
        self._stop.set()
        for process in self._processes:
            while process.is_alive():
                self._receive(wait_s=0.1, keep=False)  # a worker cannot end while its last chunk is in the pipe
                process.join(0.05)
        self._processes = []

    def _receive(self, *, wait_s: float, keep: bool = True) -> bool:
        try:
            arrays = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return False
        if keep:
            if isinstance(arrays, str):
                raise RuntimeError(f"a process that draws pairs failed:\n{arrays}")
            self._store(arrays)
        return True

    def _store(self, arrays: Arrays) -> None:
        at = self.drawn % self._capacity
        for key, value in arrays.items():
            tensor = torch.from_numpy(np.ascontiguousarray(value))
            if key not in self._storage:
                self._storage[key] = torch.zeros((self._capacity, *tensor.shape[1:]), dtype=tensor.dtype)
            self._storage[key][at : at + len(tensor)] = tensor
        self.drawn += self._chunk

    def __len__(self) -> int:
        return min(self.drawn, self._capacity)

    def fill(self, count: int) -> None:
        """Wait until ``count`` items are there."""
        self._allowed = float(count)
        while len(self) < min(count, self._capacity):
            if self._source is not None:
                self._store(draw(self._source, self._network, self._chunk, self._hypotheses))
            elif not self._receive(wait_s=1.0) and not any(p.is_alive() for p in self._processes):
                raise RuntimeError("every process that draws pairs has ended without a message")

    def sample(self, count: int) -> dict[str, Tensor]:
        """``count`` items picked at random, as float32 tensors on the CPU; takes in what has arrived since."""
        self._allowed += count / self._reuse
        while self.drawn < self._allowed:
            if self._source is not None:
                self._store(draw(self._source, self._network, self._chunk, self._hypotheses))
            elif not self._receive(wait_s=0.0):
                break  # not there yet: go on with what there is
        index = torch.from_numpy(self._rng.integers(0, len(self), count))
        return {key: value[index].float() for key, value in self._storage.items()}
