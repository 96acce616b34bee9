"""Whose recovery goes on in a frame: the objects' requests to the arbiter, and what comes of its choice."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence

from storm_edge.live.arbiter import RecoveryRequest, next_request
from storm_edge.live.object_session import ObjectSession


class RecoveryTurns:
    """Lets the recovery of one object go on at a time."""

    def __init__(self) -> None:
        # By the arbiter, with the number of its attempt; an object that was removed is not kept.
        self._last_served: tuple[weakref.ref[ObjectSession], int] | None = None

    def run(self, objects: Sequence[ObjectSession], spent_ms: dict[int, dict[str, float]]) -> None:
        """Let the recovery of one object go on, and add its time.

        Args:
            objects: All objects of the session.
            spent_ms: Time by stage of those that were updated in this frame, by their places [ms].
        """
        requests = [self._request_of(item) if place in spent_ms else None for place, item in enumerate(objects)]
        place = next_request(requests)
        if place is not None:
            item = objects[place]
            attempt = item.state.attempt
            self._last_served = None if attempt is None else (weakref.ref(item), attempt.number)
            began = time.perf_counter()
            item.run_recovery()
            spent_ms[place]["locate"] = spent_ms[place].get("locate", 0.0) + (time.perf_counter() - began) * 1e3

    def _request_of(self, item: ObjectSession) -> RecoveryRequest | None:
        priority, attempt = item.recovery_priority, item.state.attempt
        if priority is None or attempt is None:
            return None
        return RecoveryRequest(
            priority=priority,
            since_s=attempt.started_s,
            was_served_last=self._last_served == (weakref.ref(item), attempt.number),
            is_submitted=item.is_recovery_submitted,
        )
