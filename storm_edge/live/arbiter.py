"""Whose turn it is to be looked for, when several objects have no pose: one at a time, the most urgent first.

A pose that was found grows old while nobody takes it forward, so that goes first; then a look around the last trusted
pose, which is short; then searches of the whole image. Among equals who had the turn keeps it until its attempt ends,
since two searches that take turns both end late; then the attempt that waits longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class RecoveryPriority(IntEnum):
    """What an object without a pose waits for, the most urgent first."""

    PROPAGATE = 0
    """A pose was found and is to be taken forward to now."""
    LOCAL_SEARCH = 1
    """It is to be looked for around its last trusted pose."""
    SEARCH = 2
    """It is to be looked for in the whole image, or its masks there are to be registered."""


@dataclass(frozen=True, kw_only=True)
class RecoveryRequest:
    """One object that has no pose."""

    need: RecoveryPriority
    """What for."""
    since_s: float
    """When its attempt began [s]."""
    held: bool
    """Whether it had the last turn, in the same attempt."""
    in_progress: bool
    """Whether a lane is at its work already."""


def next_request(requests: Sequence[RecoveryRequest | None]) -> int | None:
    """Place of the one whose work may go on, or begin on a lane; None where nobody's may.

    Args:
        requests: Of all objects; None for those that want nothing.
    """
    waiting = [
        (request, place) for place, request in enumerate(requests) if request is not None and not request.in_progress
    ]
    if not waiting:
        return None
    first, place = min(waiting, key=lambda w: (w[0].need, not w[0].held, w[0].since_s, w[1]))
    busy = any(request is not None and request.in_progress and request.need <= first.need for request in requests)
    return None if busy else place
