"""What a run of `storm-edge bench` is to time."""

from __future__ import annotations

from dataclasses import dataclass, field

from storm_edge.choices import BenchMode
from storm_edge.errors import ConfigError, mismatch
from storm_edge.live.config import StormConfig

FRAME_COUNTS = {
    BenchMode.TRACK: 1000,
    BenchMode.REGISTER: 20,
    BenchMode.LOCATE: 10,
    BenchMode.RECOVER: 1000,
    BenchMode.TRACK_WHILE_LOCATING: 1000,
}
"""Frames that are timed if nobody says how many."""
WARM_UP_COUNTS = {
    BenchMode.TRACK: 30,
    BenchMode.REGISTER: 1,
    BenchMode.LOCATE: 1,
    BenchMode.RECOVER: 30,
    BenchMode.TRACK_WHILE_LOCATING: 30,
}
"""Frames before them."""


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What is to be timed."""

    mode: BenchMode
    """Which work."""
    frame_count: int
    """Frames that are timed, in each phase."""
    warm_up_count: int
    """Frames before them; their times are reported apart."""
    rate_hz: float | None = None
    """Frame rate at which the recording is played [Hz]; None hands on the next frame at once."""
    device: str = "cpu"
    """``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``."""
    background_search: bool = False
    """Whether searches of mode recover run on a background lane, not between the frames."""
    config: StormConfig = field(default_factory=StormConfig)
    """Schedules and thresholds."""

    def __post_init__(self) -> None:
        for option, value, least in (("--frames", self.frame_count, 2), ("--warm-up", self.warm_up_count, 0)):
            if value < least:
                raise ConfigError(mismatch(option, value, f"{least} or more", "time more frames"))
