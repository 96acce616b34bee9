"""How fast the loop goes round: frames per second and percentiles of a step, over what came lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from storm_edge.percentiles import percentiles

_RATE_OVER_S = 3.0
_STEPS_KEPT = 300


class Turns:
    """Counts frames.

    Args:
        now: The clock [s].
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._frames_s: deque[float] = deque()
        self._steps_ms: deque[float] = deque(maxlen=_STEPS_KEPT)
        self.used = self.skipped = 0

    def add(self, spent_ms: float, *, is_skipped: bool) -> None:
        """A frame was worked on for so long [ms]."""
        if is_skipped:
            self.skipped += 1
            return
        self.used += 1
        self._steps_ms.append(spent_ms)
        self._frames_s.append(self._now())

    @property
    def rate_hz(self) -> float:
        """Used frames per second in the last seconds [Hz]."""
        now_s = self._now()
        while self._frames_s and now_s - self._frames_s[0] > _RATE_OVER_S:
            self._frames_s.popleft()
        if len(self._frames_s) < 2:
            return 0.0
        return (len(self._frames_s) - 1) / max(now_s - self._frames_s[0], 1e-6)

    @property
    def step_ms(self) -> dict[str, float]:
        """Percentiles of a step [ms]; empty before there was one."""
        return percentiles(list(self._steps_ms))
