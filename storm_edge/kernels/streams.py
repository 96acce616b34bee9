"""CUDA streams of a run: a quick one for tracking, one for background work, and which thread may launch.

Warp launches on the current stream of a device, and a device has one for all threads. A thread that makes another
stream current therefore keeps the others out until it leaves (`on_stream`); else their launches would go to that
stream too, even into a graph that is being captured. On a CPU there are no streams, and no thread waits.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import warp as wp

from storm_edge.kernels.device import require_device

_HIGH, _LOW = -1, 0  # CUDA's priorities as Warp has them

_launching = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class LaneStreams:
    """The streams of a device; None on a CPU."""

    track: Any
    """For tracking: what waits on the device runs first here."""
    background: Any
    """For verifying and locating."""


@functools.cache
def lane_streams(device: str, *, shared: bool) -> LaneStreams:
    """The streams of a device, the same ones at every call.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
        shared: Whether both are the same stream, for engines that launch on one only.

    Raises:
        BackendError: The device is not available.
    """
    target = require_device(device)
    if not target.is_cuda:
        return LaneStreams(track=None, background=None)
    track = wp.Stream(target, priority=_HIGH)
    return LaneStreams(track=track, background=track if shared else wp.Stream(target, priority=_LOW))


@contextmanager
def on_stream(stream: Any) -> Iterator[None]:
    """Launch on a stream, and let no other thread launch on its device meanwhile; None does nothing.

    It may be entered again within itself, with another stream too.
    """
    if stream is None:
        yield
        return
    with _launching, wp.ScopedStream(stream, sync_enter=False):
        yield


def synchronise(device: str) -> None:
    """Wait for all streams of a device: what was made on one is going to be used on another."""
    wp.synchronize_device(require_device(device))
