"""What is known of one object, and what to do next: tracking and recovery as a pure state machine.

`advance` takes an `ObjectState` and an event and returns the next state and the actions that it asks for. Nothing
here looks at an image, a clock or a thread; `executor` does the actions, and their answers come back as events, at
once or many frames later. One machine per object. Which poses may become the track is in `pose_acceptance`.

==========================  ================================================  =====================================
state                       event                                             next state, actions
==========================  ================================================  =====================================
SEARCHING, no attempt       FrameArrived, the wait is over, a pose was        SEARCHING, SearchLocally; SearchImage
                            trusted recently                                  where that failed before
SEARCHING, no attempt       FrameArrived, the wait is over, none was          SEARCHING, SearchImage
SEARCHING, local search     PoseFound, score high enough                      REGISTERING, Propagate
SEARCHING, local search     PoseFound with a low score, NothingFound          SEARCHING, SearchImage
SEARCHING, whole image      MaskFound                                         REGISTERING, RegisterMask
SEARCHING, whole image      NothingFound                                      SEARCHING, the next wait is longer
REGISTERING                 PoseFound, score high enough                      REGISTERING, Propagate
REGISTERING                 PosePropagated, accepted, of the newest frames    TRACKING, StartTrack, ForgetCrops,
                                                                              RememberCrop
REGISTERING                 the same, of a side that is doubted               SUSPECT, StartTrack, ForgetCrops
REGISTERING                 PosePropagated, accepted, of an older frame       REGISTERING, Propagate from there
REGISTERING                 low score, NothingFound; after a local search     SEARCHING, SearchImage
REGISTERING                 low score, NothingFound; after a search           SEARCHING, the next wait is longer
SEARCHING, REGISTERING      FrameArrived, the attempt took too long           SEARCHING, CancelAttempt, longer wait
TRACKING                    PoseScored, a source's average is low, or the     SUSPECT
                            newest geometric score
TRACKING, SUSPECT           FrameArrived, no score for a while                SUSPECT
TRACKING, SUSPECT           FrameArrived after a pause of the camera          SUSPECT, DoubtTrack
TRACKING                    PoseScored, high, the newest frame                TRACKING, RememberCrop now and then
TRACKING                    PoseScored, high, an older frame of this track    TRACKING
TRACKING, SUSPECT           PoseScored, a network gave no finite number       SUSPECT in the newest frame
SUSPECT                     PoseScored, every source's average is high again  TRACKING
TRACKING, SUSPECT           `lost_after` low or missing scores in a row       LOST, DropTrack
LOST                        FrameArrived                                      SEARCHING, as above; no wait if the
                                                                              track had settled
any                         PoseGiven, high score / low, not finite, or of    TRACKING / SUSPECT, StartTrack,
                            a side that is doubted                            ForgetCrops
==========================  ================================================  =====================================

Everything else changes nothing: answers of attempts that are over, scores of frames before the track began or older
than the source's last one. The score of an older frame counts like any other, as the newest score of its source: it
may make the track suspect, end that for its own source, or lose the track, but never end it for another source. An
attempt has a number, and at most one of its actions is in progress.

A pose from before a pause of the camera is suspect, whatever its scores, until frames after the pause have confirmed
it (`pause_doubt`); so is one that a search found in a frame before the pause. Scores of frames before it count no
more, and the first one after it is its source's average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from storm_edge.live.config import ScoreThresholds, StateMachineConfig
from storm_edge.live.events import (
    Action,
    Answer,
    CancelAttempt,
    DoubtTrack,
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
from storm_edge.live.object_state import Attempt, ObjectState, RecoveryStep, ScoreHistory
from storm_edge.live.pause_doubt import PauseDoubt, after_score, doubt_again
from storm_edge.live.pose_acceptance import accepts_propagated_pose, is_current, is_worth_propagating
from storm_edge.live.track_report import TrackState

Transition = tuple[ObjectState, tuple[Action, ...]]
"""The next state, and what is to be done."""


def advance(state: ObjectState, event: Event, config: StateMachineConfig) -> Transition:
    """The state after an event, and what is to be done.

    Args:
        state: The state before.
        event: What happened.
        config: Thresholds and times; the same at every call.

    Raises:
        ValueError: Time or frames go backwards, or the event is about a frame that no `FrameArrived` announced.
    """
    if not isinstance(event, (FrameArrived, NothingFound)) and event.frame > state.frame:
        raise ValueError(f"{type(event).__name__} of frame {event.frame}, but the newest frame is {state.frame}")
    if isinstance(event, Answer) and (state.attempt is None or state.attempt.number != event.attempt):
        return state, ()
    return _TRANSITIONS[type(event)](state, event, config)


def retry_wait_s(config: StateMachineConfig, failure_count: int) -> float:
    """Time before the next attempt after so many failures in a row [s]."""
    if not failure_count:
        return 0.0
    doublings = min(failure_count - 1, 30)  # fixed: far beyond any cap, and never an overflow
    return min(config.cool_down_s * 2.0**doublings, config.longest_wait_s)


def attempt_timeout_s(config: StateMachineConfig, timeout_count: int) -> float:
    """Time that an attempt may take after so many in a row that took too long [s]."""
    return config.attempt_timeout_s * 2.0 ** min(timeout_count, config.timeout_doublings)


# Frames, scores and given poses -----------------------------------------------------------------------------------


def _on_frame(state: ObjectState, event: FrameArrived, config: StateMachineConfig) -> Transition:
    if event.frame < state.frame or not state.time_s <= event.time_s < math.inf:  # NaN too
        was = f"frame {state.frame} at {state.time_s:g} s"
        raise ValueError(f"frame {event.frame} at {event.time_s:g} s after {was}: time does not go back")
    doubt = state.pause_doubt
    if event.is_after_pause:
        doubt = doubt_again(doubt, event.frame, state.usual_score)
    state = replace(state, frame=event.frame, time_s=event.time_s, pause_doubt=doubt)
    if state.has_pose:
        state, actions = _expire_scores(state, config)
        if event.is_after_pause and state.has_pose:
            return replace(state, track_state=TrackState.SUSPECT), (*actions, DoubtTrack())
        return state, actions
    if state.track_state is TrackState.LOST:
        state = replace(state, track_state=TrackState.SEARCHING)
    attempt = state.attempt
    if attempt is not None:
        if state.time_s - attempt.started_s < attempt_timeout_s(config, state.timeout_count):
            return state, ()
        timeout_count = state.timeout_count + 1
        state = replace(_give_up(state, config), timeout_count=timeout_count)
        return state, (CancelAttempt(attempt=attempt.number),)
    if state.time_s < state.search_from_s:
        return state, ()
    return _begin_attempt(state, config)


def _expire_scores(state: ObjectState, config: StateMachineConfig) -> Transition:
    """Forget scores that are too old; having had none for a while counts like a low one."""
    recent = tuple(h for h in state.score_histories if state.time_s - h.scored_s < config.silence_s)
    if len(recent) < len(state.score_histories):
        state = replace(state, score_histories=recent)
    if state.time_s - state.scored_s < config.silence_s:
        return state, ()
    return _settle(replace(state, unscored_count=state.unscored_count + 1, scored_s=state.time_s), config)


def _after_score(state: ObjectState, event: PoseScored, config: StateMachineConfig) -> PauseDoubt | None:
    """What a score leaves of the doubt of a pause."""
    if state.pause_doubt is None or event.source is not ScoreSource.GEOMETRY:
        return state.pause_doubt
    is_trusted = event.score >= config.geometry.trust_above and _all_trust(state, config) and not _is_odd(state)
    return after_score(state.pause_doubt, event.score, is_trusted=is_trusted, config=config.pause)


def _is_odd(state: ObjectState) -> bool:
    """Whether the newest frame is suspect whatever its scores."""
    return state.frame in (state.non_finite_frame, state.side_doubted_frame)


def _is_unlike(state: ObjectState, config: StateMachineConfig) -> bool:
    """Whether the newest image alone speaks against the pose, such as the first in which the object is hidden."""
    history = state.history_of(ScoreSource.GEOMETRY)
    return history is not None and history.newest < config.geometry.suspect_below


def _on_score(state: ObjectState, event: PoseScored, config: StateMachineConfig) -> Transition:
    before = state.history_of(event.source)
    is_overtaken = before is not None and event.frame <= before.frame
    first_frame = state.start_frame if state.pause_doubt is None else max(state.start_frame, state.pause_doubt.frame)
    if not state.has_pose or event.frame < first_frame or is_overtaken:
        return state, ()
    thresholds = _thresholds_of(config, event.source)
    average = usual = event.score
    if before is not None and before.frame >= first_frame:
        average = thresholds.newest_weight * event.score + (1.0 - thresholds.newest_weight) * before.average
        usual = thresholds.usual_weight * event.score + (1.0 - thresholds.usual_weight) * before.usual
    low_score_count = 0
    if average < thresholds.suspect_below:
        low_score_count = 1 if before is None else before.low_score_count + 1
    history = ScoreHistory(
        source=event.source,
        newest=event.score,
        average=average,
        usual=usual,
        low_score_count=low_score_count,
        frame=event.frame,
        scored_s=state.time_s,
    )
    others = tuple(h for h in state.score_histories if h.source is not event.source)
    state = replace(
        state,
        score_histories=(*others, history),
        unscored_count=0,
        scored_s=state.time_s,
        non_finite_frame=state.frame if event.is_non_finite else state.non_finite_frame,
        side_doubted_frame=state.frame if event.is_side_doubted else state.side_doubted_frame,
    )
    if state.pause_doubt is not None:
        state = replace(state, pause_doubt=_after_score(state, event, config))
    state, actions = _settle(state, config)
    is_trusted = state.track_state is TrackState.TRACKING and _all_trust(state, config)
    if not is_trusted or event.score < thresholds.trust_above:
        return state, actions
    state, more = _note_trust(state, event, usual, config)
    return state, (*actions, *more)


def _note_trust(state: ObjectState, event: PoseScored, usual: float, config: StateMachineConfig) -> Transition:
    """A pose was scored that every source trusts; ``usual`` is what its source usually scores."""
    is_newer = state.trusted_frame is None or event.frame > state.trusted_frame
    # Only the newest frame is still there; one whose score comes late is made up for by the next.
    is_remembered = event.frame == state.frame and event.frame >= state.remembered_frame + config.remember_every
    state = replace(
        state,
        trusted_frame=event.frame if is_newer else state.trusted_frame,
        trusted_s=state.time_s if is_newer else state.trusted_s,
        usual_score=usual if event.source is ScoreSource.GEOMETRY else state.usual_score,
        remembered_frame=event.frame if is_remembered else state.remembered_frame,
    )
    return state, (RememberCrop(frame=event.frame),) if is_remembered else ()


def _thresholds_of(config: StateMachineConfig, source: ScoreSource) -> ScoreThresholds:
    return config.geometry if source is ScoreSource.GEOMETRY else config.network


def _all_trust(state: ObjectState, config: StateMachineConfig) -> bool:
    return all(h.average >= _thresholds_of(config, h.source).trust_above for h in state.score_histories)


def _settle(state: ObjectState, config: StateMachineConfig) -> Transition:
    """TRACKING, SUSPECT or LOST, from the scores."""
    low_score_count = max([state.unscored_count, *(h.low_score_count for h in state.score_histories)])
    if low_score_count >= config.lost_after:
        has_settled = state.time_s - state.started_s >= config.settled_s
        failure_count = 0 if has_settled else state.failure_count + 1
        lost = replace(
            state,
            track_state=TrackState.LOST,
            score_histories=(),
            unscored_count=0,
            failure_count=failure_count,
            search_from_s=state.time_s + retry_wait_s(config, failure_count),
        )
        return lost, (DropTrack(),)
    now = state.track_state  # between the thresholds nothing changes
    if low_score_count or _is_odd(state) or _is_unlike(state, config) or state.pause_doubt is not None:
        now = TrackState.SUSPECT
    elif _all_trust(state, config):
        now = TrackState.TRACKING
    return state if now is state.track_state else replace(state, track_state=now), ()


def _on_given_pose(state: ObjectState, event: PoseGiven, config: StateMachineConfig) -> Transition:
    cancel = () if state.attempt is None else (CancelAttempt(attempt=state.attempt.number),)
    state, actions = _start_track(replace(state, pause_doubt=None), event, None, config)
    return state, (*cancel, *actions)


def _start_track(
    state: ObjectState, pose: PoseGiven | PosePropagated, network_score: float | None, config: StateMachineConfig
) -> Transition:
    """A new track. The verifier forgets its crops: they may be what led the old track astray."""
    is_certain = not (pose.is_non_finite or pose.is_side_doubted) and state.pause_doubt is None
    is_trusted = pose.score >= config.geometry.trust_above and is_certain
    is_low = pose.score < config.geometry.suspect_below
    scores = [(ScoreSource.GEOMETRY, pose.score)]
    if network_score is not None:
        scores.append((ScoreSource.NETWORK, network_score))
    state = replace(
        state,
        track_state=TrackState.TRACKING if is_trusted else TrackState.SUSPECT,
        attempt=None,
        score_histories=tuple(
            ScoreHistory(
                source=source,
                newest=score,
                average=score,
                usual=score,
                low_score_count=int(is_low),
                frame=pose.frame,
                scored_s=state.time_s,
            )
            for source, score in scores
        ),
        unscored_count=0,
        timeout_count=0,
        start_frame=pose.frame,
        started_s=state.time_s,
        scored_s=state.time_s,
        # What is in doubt alone was tracked before, and is not searched for by the rules for what never was.
        trusted_frame=pose.frame if is_trusted else None if state.pause_doubt is None else state.trusted_frame,
        trusted_s=state.time_s,
        remembered_frame=pose.frame if is_trusted else pose.frame - config.remember_every,
        non_finite_frame=pose.frame if pose.is_non_finite else state.non_finite_frame,
    )
    start: tuple[Action, ...] = (StartTrack(frame=pose.frame), ForgetCrops())
    return state, (*start, RememberCrop(frame=pose.frame)) if is_trusted else start


# Attempts to find the object --------------------------------------------------------------------------------------


def _begin_attempt(state: ObjectState, config: StateMachineConfig) -> Transition:
    number = state.attempt_count + 1
    is_recent = state.trusted_frame is not None and state.time_s - state.trusted_s <= config.local_search_for_s
    is_local = is_recent and (
        config.local_search_attempts is None or state.failure_count < config.local_search_attempts
    )
    attempt = Attempt(
        number=number,
        step=RecoveryStep.LOCAL_SEARCH if is_local else RecoveryStep.SEARCH,
        frame=state.frame,
        started_s=state.time_s,
        searched=not is_local,
    )
    state = replace(state, attempt=attempt, attempt_count=number)
    if is_local and state.trusted_frame is not None:
        return state, (SearchLocally(attempt=number, frame=state.frame, trusted_frame=state.trusted_frame),)
    return state, (SearchImage(attempt=number, frame=state.frame),)


def _on_nothing_found(state: ObjectState, event: NothingFound, config: StateMachineConfig) -> Transition:
    return _try_next(state, config)


def _on_mask(state: ObjectState, event: MaskFound, config: StateMachineConfig) -> Transition:
    if _step_of(state) is not RecoveryStep.SEARCH:
        return state, ()
    state = _with_step(state, RecoveryStep.REGISTER, event.frame)
    return state, (RegisterMask(attempt=event.attempt, frame=event.frame),)


def _on_found_pose(state: ObjectState, event: PoseFound, config: StateMachineConfig) -> Transition:
    if _step_of(state) not in (RecoveryStep.LOCAL_SEARCH, RecoveryStep.REGISTER):
        return state, ()
    if not is_worth_propagating(event, config):
        return _try_next(state, config)
    if state.pause_doubt is not None and event.frame >= state.pause_doubt.frame:
        state = replace(state, pause_doubt=None)  # it was seen since
    return _propagate(state, event)


def _on_propagated_pose(state: ObjectState, event: PosePropagated, config: StateMachineConfig) -> Transition:
    if _step_of(state) is not RecoveryStep.PROPAGATE:
        return state, ()
    if not accepts_propagated_pose(state, event, config):
        return _try_next(state, config)
    if not is_current(state, event, config):
        return _propagate(state, event)
    return _start_track(state, event, event.network_score, config)


def _propagate(state: ObjectState, pose: PoseFound | PosePropagated) -> Transition:
    state = _with_step(state, RecoveryStep.PROPAGATE, pose.frame)
    return state, (Propagate(attempt=pose.attempt, frame=pose.frame),)


def _step_of(state: ObjectState) -> RecoveryStep | None:
    return None if state.attempt is None else state.attempt.step


def _with_step(state: ObjectState, step: RecoveryStep, frame: int) -> ObjectState:
    assert state.attempt is not None
    attempt = replace(state.attempt, step=step, frame=frame)
    return replace(state, track_state=TrackState.REGISTERING, attempt=attempt)


def _try_next(state: ObjectState, config: StateMachineConfig) -> Transition:
    """After a local search in vain the whole image is searched; after that the attempt has failed."""
    attempt = state.attempt
    if attempt is None or attempt.searched:
        return _give_up(state, config), ()
    attempt = replace(attempt, step=RecoveryStep.SEARCH, frame=state.frame, searched=True)
    search = SearchImage(attempt=attempt.number, frame=state.frame)
    return replace(state, track_state=TrackState.SEARCHING, attempt=attempt), (search,)


def _give_up(state: ObjectState, config: StateMachineConfig) -> ObjectState:
    failure_count = state.failure_count + 1
    return replace(
        state,
        track_state=TrackState.SEARCHING,
        attempt=None,
        failure_count=failure_count,
        timeout_count=0,
        search_from_s=state.time_s + retry_wait_s(config, failure_count),
    )


_TRANSITIONS: dict[type[Event], Callable[[ObjectState, Any, StateMachineConfig], Transition]] = {
    FrameArrived: _on_frame,
    PoseScored: _on_score,
    PoseGiven: _on_given_pose,
    MaskFound: _on_mask,
    PoseFound: _on_found_pose,
    PosePropagated: _on_propagated_pose,
    NothingFound: _on_nothing_found,
}
"""What each event does."""
