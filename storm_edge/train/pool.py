"""The pool of items a run trains on: each is used several times while new ones push the oldest out.

Drawing an item costs about as much as a training step on it. Used several times, mirrored and recoloured differently
each time (`augment`), an item pays more than once.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import torch

from storm_edge.generator.contract import Batch
from storm_edge.train.feeds import Feed
from storm_edge.train.ring import RingBuffer

_WAIT_S = 1.0  # for a chunk, while the pool is filled


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """Size and pace of a pool."""

    capacity: int
    """Items kept."""
    limit_bytes: int
    """Memory that they may take."""
    reuse: float
    """How often an item is used on average."""
    seed: int
    """Of which items are picked."""


class ItemPool:
    """The newest items on one device; a context manager, since its feed may own processes.

    Args:
        feed: Where items come from.
        config: Size and pace.
        device: Where they are kept and picked.
    """

    def __init__(self, feed: Feed, config: PoolConfig, device: torch.device) -> None:
        self._feed, self._config, self._device = feed, config, device
        self._ring = RingBuffer(config.capacity, limit_bytes=config.limit_bytes, device=device)
        self._chance = torch.Generator(device).manual_seed(config.seed)
        self._allowed = 0.0  # items that may be drawn by now
        self.drawn = 0
        """Items drawn since the start."""

    def __enter__(self) -> ItemPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the feed; closing twice is harmless."""
        self._feed.close()

    def __len__(self) -> int:
        return len(self._ring)

    def fill(self, count: int) -> None:
        """Wait until ``count`` items are there, or as many as the pool keeps.

        Raises:
            StormEdgeError: Whoever draws cannot go on.
            OutOfMemoryError: The device has no room.
        """
        while len(self) < (min(count, self._ring.capacity) if self._ring.capacity else count):
            self._take_in(wait_s=_WAIT_S)
        self._allowed = float(self.drawn)

    def sample(self, count: int) -> Batch:
        """``count`` items picked at random, float32 on the pool's device; takes in what has arrived since.

        Raises:
            StormEdgeError: Whoever draws cannot go on.
            OutOfMemoryError: The device has no room.
        """
        self._allowed += count / self._config.reuse
        while self.drawn < self._allowed and self._take_in(wait_s=0.0):
            pass  # what is not there yet is not waited for
        index = torch.randint(len(self), (count,), generator=self._chance, device=self._device)
        return self._ring.take(index)

    def draw_less(self) -> None:
        """Draw half as much at a time from now on."""
        self._feed.chunk = max(self._feed.chunk // 2, 1)

    def shrink(self, *, capacity: int, chunk: int) -> None:
        """Begin again with less, after the device had no room; `fill` comes next.

        Args:
            capacity: Items kept from now on.
            chunk: Items drawn at a time from now on.
        """
        self._feed.chunk = chunk
        limit_bytes = self._config.limit_bytes
        self._ring = RingBuffer(capacity, limit_bytes=limit_bytes, device=self._device)

    def _take_in(self, *, wait_s: float) -> bool:
        items = self._feed.next(wait_s=wait_s)
        if items is None:
            return False
        self._ring.put(items)
        self.drawn += len(next(iter(items.values())))
        return True
