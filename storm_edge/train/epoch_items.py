"""Items from disk in an order that is new in every epoch; each process of a run has its own share of it.

Which item comes when, and how it is changed, depends on the seed and its place alone: not on how many threads read,
and not on whether the run was killed in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from storm_edge.generator.contract import Batch
from storm_edge.train.processes import Process

Item = Mapping[str, NDArray[Any]]
Loader = Callable[[int, np.random.Generator], Item]
"""Reads the item of a number; chance is that of its place in the run."""


class EpochItems:
    """`run_state.Items`; a context manager, since it owns threads.

    Args:
        load: Reads an item; called by threads.
        count: How many items there are.
        process: Whose share, and where it goes.
        seed: Of order and chance.
        begin: Items that earlier starts of this process took.
        threads: How many read ahead; 0 reads when asked.
    """

    def __init__(
        self, load: Loader, count: int, process: Process, *, seed: int, begin: int = 0, threads: int = 0
    ) -> None:
        self._load, self._count, self._process, self._seed = load, count, process, seed
        self._begin, self.drawn = begin, 0
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._ahead: deque[Future[Item]] = deque()
        self._asked = begin

    def __enter__(self) -> EpochItems:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def sample(self, count: int) -> Batch:
        """The next ``count`` items.

        Raises:
            StormEdgeError: One cannot be read.
        """
        if self._pool is None:
            items = [self._item(self._begin + self.drawn + i) for i in range(count)]
        else:
            while len(self._ahead) < 2 * count:
                self._ahead.append(self._pool.submit(self._item, self._asked))
                self._asked += 1
            items = [self._ahead.popleft().result() for _ in range(count)]
        self.drawn += count
        return stacked(items, self._process.device)

    def draw_less(self) -> None:
        """Nothing: an item is read at a time."""

    def _item(self, place: int) -> Item:
        number = self._number(place)
        chance = np.random.default_rng((self._seed, self._process.rank, place))
        return self._load(number, chance)

    def _number(self, place: int) -> int:
        """Which item comes at a place of this process: all of an epoch are shared out before the next begins."""
        whole = place * self._process.count + self._process.rank
        epoch, at = divmod(whole, self._count)
        known, order = self._order
        if known != epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(self._count)
            self._order = epoch, order
        return int(order[at])


def stacked(items: list[Item], device: torch.device) -> Batch:
    """Items as a batch on a device."""
    return {key: torch.from_numpy(np.stack([item[key] for item in items])).to(device) for key in items[0]}
