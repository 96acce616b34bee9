"""What to try next with a camera that is silent: pure, times in, the next rung out.

Gentle first: restart its sensors, have it reset itself, kill its process and start another, again and again, until a
frame comes or the patience is at an end. Every rung has a limit. A process that has ended is started again at once;
one that ends again without a frame, after a pause.
"""

from __future__ import annotations

from enum import Enum

from storm_edge.live.sources.config import CameraConfig


class Rung(str, Enum):
    """What is being tried."""

    NONE = "nothing"
    """Frames come, or are about to."""
    START = "first start"
    """The process was started for the first time."""
    SENSORS = "restart of its sensors"
    """They were stopped and started."""
    RESET = "hardware reset"
    """The camera resets itself."""
    PROCESS = "restart of its process"
    """The process was killed, and another one started."""
    GIVE_UP = "giving up"
    """All was tried for long enough."""


_NEXT = {
    Rung.NONE: Rung.SENSORS,
    Rung.START: Rung.PROCESS,
    Rung.SENSORS: Rung.RESET,
    Rung.RESET: Rung.PROCESS,
    Rung.PROCESS: Rung.PROCESS,
}


class RecoveryLadder:
    """Decides; the caller does what `due` returns, at once.

    Args:
        config: Limits.
        now_s: The time of the first start [s].
    """

    def __init__(self, config: CameraConfig, now_s: float) -> None:
        self._config = config
        self.rung = Rung.START
        self._began_s = self._silent_s = now_s
        self.has_seen_frame = False

    def frame(self, now_s: float) -> None:
        """A frame came: all is well."""
        self.rung, self._silent_s, self.has_seen_frame = Rung.NONE, now_s, True

    def silence_s(self, now_s: float) -> float:
        """Time since the last frame, or the start [s]."""
        return now_s - self._silent_s

    def due(self, now_s: float, *, is_alive: bool) -> Rung | None:
        """The rung to climb to now; None where there is to be waited.

        Args:
            now_s: The time [s].
            is_alive: Whether the camera process runs.
        """
        config = self._config
        if self.silence_s(now_s) > config.give_up_s:
            self.rung = Rung.GIVE_UP
            return self.rung
        if not is_alive:
            is_again = self.rung in (Rung.PROCESS, Rung.START)
            if is_again and now_s - self._began_s < config.stall_s:
                return None
            return self._climb(Rung.PROCESS, now_s)
        if self.rung is Rung.NONE:
            return self._climb(Rung.SENSORS, now_s) if self.silence_s(now_s) > config.stall_s else None
        limit_s = config.open_s if self.rung in (Rung.START, Rung.PROCESS) else config.rung_s
        return self._climb(_NEXT[self.rung], now_s) if now_s - self._began_s > limit_s else None

    def _climb(self, rung: Rung, now_s: float) -> Rung:
        self.rung, self._began_s = rung, now_s
        return rung
