"""What the state machine knows about one object: values alone, changed by `state_machine.advance`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from storm_edge.live.events import ScoreSource
from storm_edge.live.pause_doubt import PauseDoubt
from storm_edge.live.track_report import TrackState

STATES_WITH_POSE = (TrackState.TRACKING, TrackState.SUSPECT)
"""States in which there is a pose to report."""


class RecoveryStep(str, Enum):
    """What an attempt to find the object is waiting for."""

    LOCAL_SEARCH = "local search"
    SEARCH = "search"
    REGISTER = "register"
    PROPAGATE = "propagate"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to find the object, from the search to the verified pose."""

    number: int
    """Counts up over the whole run."""
    step: RecoveryStep
    """What it is waiting for."""
    frame: int
    """The frame that this step works on."""
    started_s: float
    """When it began [s]."""
    searched: bool
    """Whether it has searched the whole image already, or is doing so."""


@dataclass(frozen=True, kw_only=True)
class ScoreHistory:
    """How one source scored the current track."""

    source: ScoreSource
    """Whose scores."""
    newest: float
    """The newest score."""
    average: float
    """Exponential moving average of the scores."""
    usual: float
    """The same over more scores: what a track that goes well has, whatever a single image says."""
    low_score_count: int
    """Scores in a row that left the average low."""
    frame: int
    """The newest frame that was scored."""
    scored_s: float
    """When its score arrived [s]."""


@dataclass(frozen=True, kw_only=True)
class ObjectState:
    """All that the machine knows. The default is the start: no frame seen yet."""

    track_state: TrackState = TrackState.SEARCHING
    """What is reported."""
    frame: int = -1
    """Newest frame."""
    time_s: float = -math.inf
    """Its time [s]."""
    attempt: Attempt | None = None
    """The attempt in progress; None while tracking and while waiting."""
    attempt_count: int = 0
    """Attempts begun so far."""
    failure_count: int = 0
    """Failures in a row."""
    timeout_count: int = 0
    """How many of the last ones took too long, in a row."""
    search_from_s: float = -math.inf
    """No attempt begins before this time [s]."""
    score_histories: tuple[ScoreHistory, ...] = ()
    """At most one per source, of the current track."""
    unscored_count: int = 0
    """Times in a row that no source had a score for too long; each counts like a low score."""
    start_frame: int = -1
    """First frame of the current track."""
    started_s: float = -math.inf
    """When it began [s]."""
    scored_s: float = -math.inf
    """When a score last arrived, or was missed [s]."""
    trusted_frame: int | None = None
    """Last frame whose pose every source trusted; None before there was one."""
    trusted_s: float = -math.inf
    """When that was known [s]."""
    usual_score: float | None = None
    """`ScoreHistory.usual` of geometry in the last frame that was trusted, of this track or one before."""
    remembered_frame: int = -1
    """Last frame whose crop the verifier was given to remember."""
    non_finite_frame: int = -1
    """The newest frame when it was last reported that a network gave no finite number: whatever the scores in it, it
    is suspect."""

    side_doubted_frame: int = -1
    """The newest frame when its side was last doubted: whatever the scores in it, it is suspect."""
    pause_doubt: PauseDoubt | None = None
    """A pose from before a pause is suspect until the frames since confirm it; None where there is no such doubt."""

    @property
    def has_pose(self) -> bool:
        """Whether there is a pose to report."""
        return self.track_state in STATES_WITH_POSE

    def history_of(self, source: ScoreSource) -> ScoreHistory | None:
        """The scores of a source; None if it gave none lately."""
        return next((history for history in self.score_histories if history.source is source), None)
