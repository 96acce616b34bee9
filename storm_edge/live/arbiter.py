"""Which object's recovery goes on, when several have no pose: one at a time, the most urgent first.

A pose that was found grows old until it is propagated to the newest frame, so that goes first; then a local search,
which is short; then searches of the whole image. Among equals the one that was served last goes on until its attempt
ends, since two searches in turns both end late; then the attempt that waits longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class RecoveryPriority(IntEnum):
    """What the recovery of an object does next, the most urgent first."""

    PROPAGATE = 0
    """Propagate a pose that was found to the newest frame."""
    LOCAL_SEARCH = 1
    """Search around its last trusted pose."""
    SEARCH = 2
    """Search the whole image, or register masks found there."""


@dataclass(frozen=True, kw_only=True)
class RecoveryRequest:
    """The recovery of one object that has no pose."""

    priority: RecoveryPriority
    """How urgent it is."""
    since_s: float
    """When its attempt began [s]."""
    was_served_last: bool
    """Whether it was the last that went on, in the same attempt."""
    is_submitted: bool
    """Whether the background lane has its work already."""


def next_request(requests: Sequence[RecoveryRequest | None]) -> int | None:
    """Place of the one that goes on here, or is submitted to the background lane; None if none is.

    Args:
        requests: Of all objects; None for those that have no work.
    """
    waiting = [
        (request, place) for place, request in enumerate(requests) if request is not None and not request.is_submitted
    ]
    if not waiting:
        return None
    first, place = min(waiting, key=lambda w: (w[0].priority, not w[0].was_served_last, w[0].since_s, w[1]))
    busy = any(
        request is not None and request.is_submitted and request.priority <= first.priority for request in requests
    )
    return None if busy else place
