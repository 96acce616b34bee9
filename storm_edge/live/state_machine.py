"""What is believed about one object, and what to do next: the recovery loop as a pure state machine.

`advance` takes an `ObjectState` and an event and returns the next state and the actions that it asks for. Nothing
here looks at an image, a clock or a thread; who runs the loop does the actions and sends their answers back as
events, at once or many frames later. One machine per object.

==========================  ================================================  =====================================
state                       event                                             next state, actions
==========================  ================================================  =====================================
SEARCHING, no attempt       Tick, the wait is over, a recent pose is known    SEARCHING, LookNearby; Search if that
                                                                              failed before
SEARCHING, no attempt       Tick, the wait is over, none is known             SEARCHING, Search
SEARCHING, near last pose   PoseFound, score high enough                      REGISTERING, Forward
SEARCHING, near last pose   PoseFound with a low score, Failed                SEARCHING, Search
SEARCHING, whole image      MaskFound                                         REGISTERING, Register
SEARCHING, whole image      Failed                                            SEARCHING, the next wait is longer
REGISTERING                 PoseFound, score high enough                      REGISTERING, Forward
REGISTERING                 PoseForwarded, trusted, of the newest frames      TRACKING, Begin, Forget, Remember
REGISTERING                 PoseForwarded, trusted, of an older frame         REGISTERING, Forward from there
REGISTERING                 low score, Failed; came from the last pose        SEARCHING, Search
REGISTERING                 low score, Failed; came from a mask               SEARCHING, the next wait is longer
SEARCHING, REGISTERING      Tick, the attempt took too long                   SEARCHING, Cancel, longer wait
TRACKING                    Judged, a voter's average is low (a doubt)        SUSPECT
TRACKING, SUSPECT           Tick, nobody judged for a while (a doubt)         SUSPECT
TRACKING                    Judged, well, the newest frame                    TRACKING, Remember now and then
TRACKING                    Judged, well, an older frame of this track        TRACKING
TRACKING, SUSPECT           Judged, faulty                                    SUSPECT in the frame where it is heard
SUSPECT                     Judged, every voter's average is trusted again    TRACKING
TRACKING, SUSPECT           `lost_after` doubts in a row                      LOST, Drop
LOST                        Tick                                              SEARCHING, as above; no wait if the
                                                                              track had settled
any                         Given, trusted / doubted or faulty                TRACKING / SUSPECT, Begin, Forget
==========================  ================================================  =====================================

Everything else leaves the belief as it is: answers of attempts that are over, judgements of frames before the track
began or older than the voter's last one. A judgement of an older frame than the newest counts like any other, as the
voter's newest opinion: it may raise a doubt, end its own, or lose the track, but never end another voter's doubt. An
attempt has a number, and at most one of its actions is under way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from storm_edge.live.config import ScoreThresholds, StateMachineConfig
from storm_edge.live.events import (
    Action,
    CancelAttempt,
    DropTrack,
    Event,
    ForgetCrops,
    FrameArrived,
    MaskFound,
    NothingFound,
    PoseFound,
    PoseGiven,
    PosePropagated,
    PoseScored,
    Propagate,
    RegisterMask,
    RememberCrop,
    ScoreSource,
    SearchImage,
    SearchLocally,
    StartTrack,
)
from storm_edge.live.track_report import TrackState

FOLLOWED = (TrackState.TRACKING, TrackState.SUSPECT)
"""States in which there is a pose to report."""


def _vote_of(config: StateMachineConfig, source: ScoreSource) -> ScoreThresholds:
    return config.geometry if source is ScoreSource.GEOMETRY else config.network


def wait_s(config: StateMachineConfig, failure_count: int) -> float:
    """Time before the next attempt after so many failures in a row [s]."""
    if not failure_count:
        return 0.0
    doublings = min(failure_count - 1, 30)  # fixed: far beyond any cap, and never an overflow
    return min(config.cool_down_s * 2.0**doublings, config.longest_wait_s)


class RecoveryStep(str, Enum):
    """What an attempt is waiting for."""

    LOCAL_SEARCH = "nearby"
    SEARCH = "search"
    REGISTER = "register"
    PROPAGATE = "forward"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try to find the object, from the search to the verified pose."""

    number: int
    """Counts up over the whole run."""
    step: RecoveryStep
    """What it is waiting for."""
    frame: int
    """The frame that this works on."""
    started_s: float
    """When it began [s]."""
    searched: bool
    """Whether the whole image was its matter already."""


@dataclass(frozen=True, kw_only=True)
class ScoreHistory:
    """What one voter thinks of the track."""

    source: ScoreSource
    """Who."""
    average: float
    """Exponential moving average of the scores."""
    doubts: int
    """Doubts in a row."""
    frame: int
    """The newest frame judged."""
    heard_s: float
    """When [s]."""


@dataclass(frozen=True, kw_only=True)
class ObjectState:
    """All that the machine knows. The default is the start: nothing seen yet."""

    state: TrackState = TrackState.SEARCHING
    """What is reported."""
    frame: int = -1
    """Newest frame."""
    time_s: float = -math.inf
    """Time of the last tick [s]."""
    attempt: Attempt | None = None
    """The try under way; None while tracking and while waiting."""
    attempt_count: int = 0
    """Attempts begun so far."""
    failure_count: int = 0
    """Failures in a row."""
    search_from_s: float = -math.inf
    """No attempt begins before this time [s]."""
    score_histories: tuple[ScoreHistory, ...] = ()
    """At most one per voter, of the current track."""
    silences: int = 0
    """Doubts in a row because nobody judged."""
    since_frame: int = -1
    """First frame of the current track."""
    began_s: float = -math.inf
    """When it began [s]."""
    heard_s: float = -math.inf
    """When somebody last judged it, or a silence was counted [s]."""
    trusted_frame: int | None = None
    """Last frame whose pose was trusted."""
    trusted_s: float = -math.inf
    """When [s]."""
    remembered_frame: int = -1
    """Last frame given to the verifier's memory."""
    non_finite_frame: int = -1
    """The newest frame when it was last heard that a network gave no number: nothing said in it ends the doubt."""

    @property
    def has_pose(self) -> bool:
        """Whether there is a pose to report."""
        return self.state in FOLLOWED

    def opinion(self, source: ScoreSource) -> ScoreHistory | None:
        """What a voter thinks, None if it did not say lately."""
        return next((opinion for opinion in self.score_histories if opinion.source is source), None)


def advance(belief: ObjectState, event: Event, config: StateMachineConfig) -> tuple[ObjectState, tuple[Action, ...]]:
    """What is believed after an event, and what is to be done.

    Args:
        belief: What was believed.
        event: What happened.
        config: Thresholds and times; the same at every call.

    Raises:
        ValueError: Time or frames go backwards, or something is said about a frame that no `FrameArrived` announced.
    """
    if isinstance(event, FrameArrived):
        return _tick(belief, event, config)
    if (
        isinstance(event, (PoseScored, MaskFound, PoseFound, PosePropagated, PoseGiven))
        and event.frame > belief.frame
    ):
        raise ValueError(f"{type(event).__name__} of frame {event.frame}, but the newest frame is {belief.frame}")
    if isinstance(event, PoseScored):
        return _judged(belief, event, config)
    if isinstance(event, PoseGiven):
        return _given(belief, event, config)
    if belief.attempt is None or belief.attempt.number != event.attempt:
        return belief, ()
    return _answered(belief, belief.attempt, event, config)


def _tick(
    belief: ObjectState, event: FrameArrived, config: StateMachineConfig
) -> tuple[ObjectState, tuple[Action, ...]]:
    if event.frame < belief.frame or not belief.time_s <= event.time_s < math.inf:  # NaN too
        was = f"frame {belief.frame} at {belief.time_s:g} s"
        raise ValueError(f"tick of frame {event.frame} at {event.time_s:g} s after {was}: time does not go back")
    belief = replace(belief, frame=event.frame, time_s=event.time_s)
    if belief.has_pose:
        return _listen(belief, config)
    if belief.state is TrackState.LOST:
        belief = replace(belief, state=TrackState.SEARCHING)
    attempt = belief.attempt
    if attempt is not None:
        if belief.time_s - attempt.started_s < config.attempt_timeout_s:
            return belief, ()
        return _give_up(belief, config), (CancelAttempt(attempt=attempt.number),)
    if belief.time_s < belief.search_from_s:
        return belief, ()
    return _begin_attempt(belief, config)


def _listen(belief: ObjectState, config: StateMachineConfig) -> tuple[ObjectState, tuple[Action, ...]]:
    """Forget opinions that are too old; having none left for a while is a doubt."""
    fresh = tuple(o for o in belief.score_histories if belief.time_s - o.heard_s < config.silence_s)
    belief = replace(belief, score_histories=fresh)
    if belief.time_s - belief.heard_s < config.silence_s:
        return belief, ()
    return _settle(replace(belief, silences=belief.silences + 1, heard_s=belief.time_s), config)


def _judged(
    belief: ObjectState, event: PoseScored, config: StateMachineConfig
) -> tuple[ObjectState, tuple[Action, ...]]:
    before = belief.opinion(event.source)
    overtaken = before is not None and event.frame <= before.frame
    if not belief.has_pose or event.frame < belief.since_frame or overtaken:
        return belief, ()
    vote = _vote_of(config, event.source)
    average = event.score
    if before is not None:
        average = vote.newest_weight * event.score + (1.0 - vote.newest_weight) * before.average
    doubts = 0
    if average < vote.suspect_below:
        doubts = 1 if before is None else before.doubts + 1
    opinion = ScoreHistory(
        source=event.source, average=average, doubts=doubts, frame=event.frame, heard_s=belief.time_s
    )
    others = tuple(o for o in belief.score_histories if o.source is not event.source)
    belief = replace(belief, score_histories=(*others, opinion), silences=0, heard_s=belief.time_s)
    if event.is_non_finite:
        belief = replace(belief, non_finite_frame=belief.frame)
    belief, actions = _settle(belief, config)
    if belief.state is not TrackState.TRACKING or not _all_trust(belief, config) or event.score < vote.trust_above:
        return belief, actions
    if belief.trusted_frame is None or event.frame > belief.trusted_frame:
        belief = replace(belief, trusted_frame=event.frame, trusted_s=belief.time_s)
    # Only the newest frame is still at hand; one whose vote comes late is made up for by the next.
    if event.frame == belief.frame and event.frame >= belief.remembered_frame + config.remember_every:
        belief = replace(belief, remembered_frame=event.frame)
        actions = (*actions, RememberCrop(frame=event.frame))
    return belief, actions


def _all_trust(belief: ObjectState, config: StateMachineConfig) -> bool:
    return all(o.average >= _vote_of(config, o.source).trust_above for o in belief.score_histories)


def _settle(belief: ObjectState, config: StateMachineConfig) -> tuple[ObjectState, tuple[Action, ...]]:
    """The state of a followed object from its doubts."""
    doubts = max([belief.silences, *(o.doubts for o in belief.score_histories)])
    if doubts >= config.lost_after:
        lasted = belief.time_s - belief.began_s >= config.settled_s
        failures = 0 if lasted else belief.failure_count + 1
        lost = replace(
            belief,
            state=TrackState.LOST,
            score_histories=(),
            silences=0,
            failure_count=failures,
            search_from_s=belief.time_s + wait_s(config, failures),
        )
        return lost, (DropTrack(),)
    if doubts or belief.non_finite_frame == belief.frame:
        return replace(belief, state=TrackState.SUSPECT), ()
    if _all_trust(belief, config):
        return replace(belief, state=TrackState.TRACKING), ()
    return belief, ()  # between the thresholds nothing changes


def _given(
    belief: ObjectState, event: PoseGiven, config: StateMachineConfig
) -> tuple[ObjectState, tuple[Action, ...]]:
    stop = () if belief.attempt is None else (CancelAttempt(attempt=belief.attempt.number),)
    belief, actions = _begin_track(belief, event.frame, event.score, None, config, is_non_finite=event.is_non_finite)
    return belief, (*stop, *actions)


def _begin_attempt(belief: ObjectState, config: StateMachineConfig) -> tuple[ObjectState, tuple[Action, ...]]:
    number = belief.attempt_count + 1
    recent = belief.trusted_frame is not None and belief.time_s - belief.trusted_s <= config.local_search_for_s
    local_search = recent and (
        config.local_search_attempts is None or belief.failure_count < config.local_search_attempts
    )
    attempt = Attempt(
        number=number,
        step=RecoveryStep.LOCAL_SEARCH if local_search else RecoveryStep.SEARCH,
        frame=belief.frame,
        started_s=belief.time_s,
        searched=not local_search,
    )
    belief = replace(belief, attempt=attempt, attempt_count=number)
    if local_search and belief.trusted_frame is not None:
        return belief, (SearchLocally(attempt=number, frame=belief.frame, trusted_frame=belief.trusted_frame),)
    return belief, (SearchImage(attempt=number, frame=belief.frame),)


def _answered(
    belief: ObjectState,
    attempt: Attempt,
    event: MaskFound | PoseFound | PosePropagated | NothingFound,
    config: StateMachineConfig,
) -> tuple[ObjectState, tuple[Action, ...]]:
    """The attempt under way got an answer; one that its step does not wait for changes nothing."""
    number = attempt.number
    if isinstance(event, NothingFound):
        return _next_try(belief, attempt, config)
    if isinstance(event, MaskFound) and attempt.step is RecoveryStep.SEARCH:
        return _work(belief, attempt, RecoveryStep.REGISTER, event.frame), (
            RegisterMask(attempt=number, frame=event.frame),
        )
    if isinstance(event, PoseFound) and attempt.step in (RecoveryStep.LOCAL_SEARCH, RecoveryStep.REGISTER):
        if event.score < config.found_above:
            return _next_try(belief, attempt, config)
        return _work(belief, attempt, RecoveryStep.PROPAGATE, event.frame), (
            Propagate(attempt=number, frame=event.frame),
        )
    if isinstance(event, PosePropagated) and attempt.step is RecoveryStep.PROPAGATE:
        network = event.network_score
        if not _is_believed(belief, event, config):
            return _next_try(belief, attempt, config)
        if belief.frame - event.frame > config.propagation_slack:
            return _work(belief, attempt, RecoveryStep.PROPAGATE, event.frame), (
                Propagate(attempt=number, frame=event.frame),
            )
        return _begin_track(belief, event.frame, event.score, network, config, is_non_finite=event.is_non_finite)
    return belief, ()


def _is_believed(belief: ObjectState, event: PosePropagated, config: StateMachineConfig) -> bool:
    """Whether a pose that was tracked forward may be the track."""
    network = event.network_score
    if event.score < config.geometry.trust_above or (network is not None and network < config.network.trust_above):
        return False
    if network is None or belief.trusted_frame is None:
        return event.score >= config.propagated_above
    return 0.5 * (event.score + network) >= config.propagated_mean_above


def _work(belief: ObjectState, attempt: Attempt, step: RecoveryStep, frame: int) -> ObjectState:
    return replace(belief, state=TrackState.REGISTERING, attempt=replace(attempt, step=step, frame=frame))


def _next_try(
    belief: ObjectState, attempt: Attempt, config: StateMachineConfig
) -> tuple[ObjectState, tuple[Action, ...]]:
    """After looking nearby in vain the whole image is searched; after that the attempt has failed."""
    if attempt.searched:
        return _give_up(belief, config), ()
    again = replace(attempt, step=RecoveryStep.SEARCH, frame=belief.frame, searched=True)
    search = SearchImage(attempt=attempt.number, frame=belief.frame)
    return replace(belief, state=TrackState.SEARCHING, attempt=again), (search,)


def _give_up(belief: ObjectState, config: StateMachineConfig) -> ObjectState:
    failures = belief.failure_count + 1
    return replace(
        belief,
        state=TrackState.SEARCHING,
        attempt=None,
        failure_count=failures,
        search_from_s=belief.time_s + wait_s(config, failures),
    )


def _begin_track(
    belief: ObjectState,
    frame: int,
    score: float,
    network: float | None,
    config: StateMachineConfig,
    *,
    is_non_finite: bool,
) -> tuple[ObjectState, tuple[Action, ...]]:
    """A new track; what the verifier remembered may have been what led the old one astray."""
    trusted = score >= config.geometry.trust_above and not is_non_finite
    doubted = score < config.geometry.suspect_below
    scores = [(ScoreSource.GEOMETRY, score)] + ([] if network is None else [(ScoreSource.NETWORK, network)])
    belief = replace(
        belief,
        state=TrackState.TRACKING if trusted else TrackState.SUSPECT,
        attempt=None,
        score_histories=tuple(
            ScoreHistory(source=source, average=value, doubts=int(doubted), frame=frame, heard_s=belief.time_s)
            for source, value in scores
        ),
        silences=0,
        since_frame=frame,
        began_s=belief.time_s,
        heard_s=belief.time_s,
        trusted_frame=frame if trusted else None,
        trusted_s=belief.time_s,
        remembered_frame=frame if trusted else frame - config.remember_every,
        non_finite_frame=frame if is_non_finite else belief.non_finite_frame,
    )
    begin: tuple[Action, ...] = (StartTrack(frame=frame), ForgetCrops())
    return belief, (*begin, RememberCrop(frame=frame)) if trusted else begin
