"""A ring of the newest training items, on the device that trains on them."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.contract import Batch

_IMAGE_DIMS = 4  # items with channels, height and width are images


class RingBuffer:
    """The newest items, in memory that is taken once; images as float16, which halves it.

    Args:
        capacity: Items kept at most.
        limit_bytes: Memory it may take; it keeps fewer items where they need more.
        device: Where it lies.
    """

    def __init__(self, capacity: int, *, limit_bytes: int, device: torch.device) -> None:
        self._asked, self._limit_bytes, self._device = capacity, limit_bytes, device
        self._storage: dict[str, Tensor] = {}
        self._next = 0
        self.capacity = 0
        """Items kept at most; 0 before the first are there, whose size says how many fit."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, items: Batch) -> None:
        """Take in items ``(n, ...)``; the oldest go.

        Raises:
            OutOfMemoryError: The device has no room for the ring; nothing is kept of it.
        """
        if not self._storage:
            self._take_room(items)
        count = len(next(iter(items.values())))
        if count > self.capacity:
            items, count = {key: value[-self.capacity :] for key, value in items.items()}, self.capacity
        first = min(count, self.capacity - self._next)  # the rest begins at the start again
        for key, value in items.items():
            self._storage[key][self._next : self._next + first] = value[:first]
            self._storage[key][: count - first] = value[first:]
        self._next = (self._next + count) % self.capacity
        self._count = min(self._count + count, self.capacity)

    def take(self, index: Tensor) -> Batch:
        """Items of some places ``(n,)``, float32."""
        return {key: value[index].float() for key, value in self._storage.items()}

    def _take_room(self, items: Batch) -> None:
        forms = {
            key: (value.shape[1:], torch.float16 if value.ndim >= _IMAGE_DIMS else torch.float32)
            for key, value in items.items()
        }
        item_bytes = sum(shape.numel() * dtype.itemsize for shape, dtype in forms.values())
        capacity = max(min(self._asked, self._limit_bytes // item_bytes), 1)
        self._storage = {
            key: torch.zeros((capacity, *shape), dtype=dtype, device=self._device)
            for key, (shape, dtype) in forms.items()
        }
        self.capacity = capacity
