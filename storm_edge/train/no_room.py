"""What is done when a device has no memory left: less is taken and told, down to one item, then the run ends."""

from __future__ import annotations

import logging

import torch

from storm_edge.errors import BackendError, mismatch
from storm_edge.train.config import TrainConfig
from storm_edge.train.pool import ItemPool

_LOG = logging.getLogger(__name__)


def fill_pool(pool: ItemPool, config: TrainConfig, device: torch.device) -> None:
    """Fill the pool as ``config`` says; half of it, and of what is drawn at a time, as often as there is no room.

    Raises:
        BackendError: There is no room for one item.
        StormEdgeError: Whoever draws cannot go on.
    """
    capacity, chunk = config.items(config.sizes.pool), config.items(config.sizes.chunk)
    while True:
        try:
            pool.fill(config.items(config.sizes.fill))
            return
        except torch.OutOfMemoryError:
            pass  # what failed stays in memory until this block is left
        if capacity == 1:
            raise no_room(device, "a pool of one item")
        capacity, chunk = max(capacity // 2, 1), max(chunk // 2, 1)
        give_back(device)
        _LOG.warning("%s: no room for the pool; it keeps %d items now", device, capacity)
        pool.shrink(capacity=capacity, chunk=chunk)


def half_batch(items: int, device: torch.device, *, alone: bool) -> int:
    """Half of a batch for which there was no room.

    Args:
        items: Its size.
        device: Where.
        alone: Whether one process trains; several must keep batches of one size.

    Raises:
        BackendError: It cannot be halved.
    """
    if items == 1 or not alone:
        raise no_room(device, f"a batch of {items}")
    give_back(device)
    _LOG.warning("%s: no room for the batch; it has %d items now", device, items // 2)
    return items // 2


def no_room(device: torch.device, what: str) -> BackendError:
    """The error of a device that is full."""
    remedy = "lower --batch, or free memory of the device"
    return BackendError(mismatch(f"--device {device}", "no memory left", f"room for {what}", remedy))


def give_back(device: torch.device) -> None:
    """Return memory that nothing uses to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
