"""Things that are due now and then."""

from __future__ import annotations


class Every:
    """Says when an interval has passed.

    Args:
        interval_s: Time between two [s].
        first_s: When the first is due, on the caller's clock [s].
    """

    def __init__(self, interval_s: float, *, first_s: float) -> None:
        self._interval_s, self._next_s = interval_s, first_s

    def is_due(self, now_s: float) -> bool:
        """Whether one is due; the next is an interval after ``now_s`` then."""
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._interval_s
        return True
