"""Tracking and recovery as a state machine: the table of its docstring, and what holds whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storm_edge.errors import ConfigError
from storm_edge.live.config import ScoreThresholds, StateMachineConfig
from storm_edge.live.events import (
    Action,
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
from storm_edge.live.object_state import ObjectState, RecoveryStep
from storm_edge.live.state_machine import advance, retry_wait_s
from storm_edge.live.track_report import TrackState

RATE_HZ = 30.0
CONFIG = StateMachineConfig()
"""What ships is what is tested."""
WORK = (SearchLocally, SearchImage, RegisterMask, Propagate)


class Loop:
    """A state and what was asked for, driven event by event."""

    def __init__(self, config: StateMachineConfig = CONFIG) -> None:
        self.state = ObjectState()
        self.config = config

    def send(self, event: Event) -> tuple[Action, ...]:
        self.state, actions = advance(self.state, event, self.config)
        return actions

    def tick(self, frames: int = 1, *, is_after_pause: bool = False) -> tuple[Action, ...]:
        """So many frames go by; the actions of the last."""
        actions: tuple[Action, ...] = ()
        for _ in range(frames):
            frame = self.state.frame + 1
            actions = self.send(FrameArrived(frame=frame, time_s=frame / RATE_HZ, is_after_pause=is_after_pause))
        return actions

    def score_pose(self, score: float, source: ScoreSource = ScoreSource.GEOMETRY) -> tuple[Action, ...]:
        return self.send(PoseScored(frame=self.state.frame, source=source, score=score))

    def follow(self, scores: Sequence[float]) -> list[TrackState]:
        """A scored frame per score; the states."""
        states = []
        for score in scores:
            self.tick()
            self.score_pose(score)
            states.append(self.state.track_state)
        return states

    def track(self, frames: int = 40) -> Loop:
        """From the start to a settled track."""
        self.tick()
        self.send(PoseGiven(frame=self.state.frame, score=0.9))
        self.follow([0.9] * frames)
        return self

    def lose(self) -> Loop:
        """Bad frames until it is noticed."""
        for _ in range(10):
            if self.state.has_pose:
                self.follow([0.0])
        assert self.state.track_state is TrackState.LOST
        return self

    @property
    def number(self) -> int:
        assert self.state.attempt is not None
        return self.state.attempt.number


# The way from nothing to a track ---------------------------------------------------------------------------------


def test_the_first_frame_starts_a_search_of_the_whole_image() -> None:
    loop = Loop()
    assert loop.state.track_state is TrackState.SEARCHING
    assert loop.tick() == (SearchImage(attempt=1, frame=0),)
    assert loop.tick() == ()  # one at a time
    assert loop.state.track_state is TrackState.SEARCHING


def test_a_mask_is_registered_propagated_and_only_then_tracked() -> None:
    loop = Loop()
    loop.tick()
    loop.tick(4)
    assert loop.send(MaskFound(attempt=1, frame=0)) == (RegisterMask(attempt=1, frame=0),)
    assert loop.state.track_state is TrackState.REGISTERING
    loop.tick(6)
    assert loop.send(PoseFound(attempt=1, frame=0, score=0.8)) == (Propagate(attempt=1, frame=0),)
    assert loop.state.track_state is TrackState.REGISTERING
    loop.tick(2)
    newest = loop.state.frame
    actions = loop.send(PosePropagated(attempt=1, frame=newest, score=0.7))
    assert actions == (StartTrack(frame=newest), ForgetCrops(), RememberCrop(frame=newest))
    assert loop.state.track_state is TrackState.TRACKING


def test_a_propagated_pose_that_fell_behind_is_propagated_again() -> None:
    loop = Loop()
    loop.tick()
    loop.send(MaskFound(attempt=1, frame=0))
    loop.send(PoseFound(attempt=1, frame=0, score=0.8))
    loop.tick(10)
    assert loop.send(PosePropagated(attempt=1, frame=8, score=0.8)) == (Propagate(attempt=1, frame=8),)
    assert loop.state.track_state is TrackState.REGISTERING
    loop.send(PosePropagated(attempt=1, frame=9, score=0.8))  # one frame behind is present
    assert loop.state.track_state is TrackState.TRACKING


def propagated(loop: Loop, score: float, network: float | None) -> TrackState:
    """The state after the attempt in progress found a pose and propagated it."""
    frame = loop.state.frame
    if loop.state.attempt is not None and loop.state.attempt.step is RecoveryStep.SEARCH:
        loop.send(MaskFound(attempt=loop.number, frame=frame))
    loop.send(PoseFound(attempt=loop.number, frame=frame, score=0.8))
    loop.send(PosePropagated(attempt=loop.number, frame=frame, score=score, network_score=network))
    return loop.state.track_state


@pytest.mark.parametrize(
    ("score", "network"), [(0.59, None), (0.59, 1.0), (1.0, 0.59)], ids=["geometry alone", "geometry", "network"]
)
def test_a_pose_that_is_not_verified_is_never_tracked(score: float, network: float | None) -> None:
    loop = Loop()
    loop.tick()
    assert propagated(loop, score, network) is TrackState.SEARCHING
    assert loop.state.attempt is None


@pytest.mark.parametrize("network", [None, 0.6, 1.0])
def test_a_first_pose_is_accepted_by_geometry_if_the_network_does_not_object(network: float | None) -> None:
    loop = Loop()
    loop.tick()
    assert propagated(loop, 0.6, network) is TrackState.TRACKING


@pytest.mark.parametrize(
    ("score", "network", "state"),
    [
        (0.58, 0.97, TrackState.SEARCHING),
        (0.68, 0.78, TrackState.SEARCHING),
        (0.49, 1.0, TrackState.SEARCHING),
        (1.0, 0.59, TrackState.SEARCHING),
        (0.59, None, TrackState.SEARCHING),
        (0.6, None, TrackState.TRACKING),
        (0.59, 0.98, TrackState.SEARCHING),
        (0.96, 0.6, TrackState.SEARCHING),
        (0.63, 1.0, TrackState.SEARCHING),
        (0.64, 1.0, TrackState.TRACKING),
        (1.0, 0.64, TrackState.TRACKING),
    ],
)
def test_after_a_loss_both_sources_together_must_be_sure(
    score: float, network: float | None, state: TrackState
) -> None:
    """Their mean decides, from 0.82 on, where neither is below what a track needs."""
    loop = Loop().track().lose()
    loop.tick()
    assert propagated(loop, score, network) is state


def test_a_registration_with_a_low_score_is_not_propagated() -> None:
    loop = Loop()
    loop.tick()
    loop.send(MaskFound(attempt=1, frame=0))
    assert loop.send(PoseFound(attempt=1, frame=0, score=0.64)) == ()
    assert loop.state.track_state is TrackState.SEARCHING


def test_waits_double_up_to_the_longest_and_no_further() -> None:
    loop = Loop()
    waits = []
    for _ in range(6):
        asked = next(actions for actions in (loop.tick() for _ in range(30)) if actions)
        assert isinstance(asked[0], SearchImage)
        loop.send(NothingFound(attempt=loop.number))
        waits.append(loop.state.search_from_s - loop.state.time_s)
    assert waits == pytest.approx([0.03, 0.06, 0.07, 0.07, 0.07, 0.07])


def test_the_wait_is_finite_after_any_number_of_failures() -> None:
    assert retry_wait_s(CONFIG, 0) == 0.0
    assert retry_wait_s(CONFIG, 10**6) == 0.07


def test_an_attempt_without_an_answer_is_cancelled_and_its_late_answer_ignored() -> None:
    loop = Loop()
    loop.tick()
    loop.send(MaskFound(attempt=1, frame=0))
    asked = next(actions for actions in (loop.tick() for _ in range(700)) if actions)
    assert asked == (CancelAttempt(attempt=1),)
    assert loop.state.time_s >= CONFIG.attempt_timeout_s
    before = loop.state
    assert loop.send(PoseFound(attempt=1, frame=0, score=1.0)) == ()
    assert loop.state == before
    loop.tick(4)
    assert loop.number == 2


def test_attempts_that_take_too_long_may_take_longer_until_one_ends_by_itself() -> None:
    """A machine that is busy with something else needs a minute for a search of two seconds."""
    loop = Loop()

    def cancelled_after_s() -> float:
        """When the next attempt is cancelled, counted from where it began."""
        while loop.state.attempt is None:
            loop.tick()
        began_s = loop.state.time_s
        while CancelAttempt(attempt=loop.number) not in loop.tick():
            pass
        return loop.state.time_s - began_s

    limits_s = [cancelled_after_s() for _ in range(5)]
    assert limits_s == pytest.approx([20.0, 40.0, 80.0, 160.0, 160.0], abs=0.05)
    while loop.state.attempt is None:
        loop.tick()
    loop.send(NothingFound(attempt=loop.number))
    assert cancelled_after_s() == pytest.approx(20.0, abs=0.05)


# SUSPECT and LOST --------------------------------------------------------------------------------------------------


def test_a_frame_with_a_low_score_is_suspect_whatever_the_average() -> None:
    """The first image in which the object is hidden: nobody may be told that pose as a sure one."""
    states = Loop().track().follow([0.39, 0.9, 0.41, 0.9])
    assert states == [TrackState.SUSPECT, TrackState.TRACKING, TrackState.TRACKING, TrackState.TRACKING]


def test_one_low_score_of_the_network_changes_nothing_while_the_average_stays_high() -> None:
    """It sees crops of a few frames ago, and errs in single ones."""
    loop = Loop().track()
    loop.tick()
    loop.score_pose(0.9, ScoreSource.NETWORK)
    loop.tick()
    loop.score_pose(0.9)
    loop.score_pose(0.3, ScoreSource.NETWORK)  # the average is 0.6
    assert loop.state.track_state is TrackState.TRACKING


def test_suspect_then_trusted_again() -> None:
    # averages 0.9 -> 0.45 (the newest is low), 0.225, 0.4625 (no longer suspect, not trusted), 0.58 (trusted again)
    states = Loop().track().follow([0.0, 0.0, 0.7, 0.7])
    assert states == [TrackState.SUSPECT, TrackState.SUSPECT, TrackState.SUSPECT, TrackState.TRACKING]


def test_between_the_thresholds_suspect_stays_and_trust_stays() -> None:
    loop = Loop().track()
    assert set(loop.follow([0.45] * 20)) == {TrackState.TRACKING}
    loop.follow([0.0, 0.6])  # averages 0.225, 0.41
    assert set(loop.follow([0.45] * 20)) == {TrackState.SUSPECT}


def test_three_low_scores_in_a_row_lose_the_track() -> None:
    loop = Loop().track()
    assert loop.follow([0.0, 0.0, 0.0]) == [TrackState.SUSPECT] * 3  # the average of the first, 0.45, is not low
    loop.tick()
    assert loop.score_pose(0.0) == (DropTrack(),)
    assert loop.state.track_state is TrackState.LOST
    assert not loop.state.has_pose


def test_each_source_counts_its_own_low_scores() -> None:
    """Geometry, which sees a wrong object of the same shape as right, must not outvote the verifier."""
    loop = Loop().track()
    states = []
    for _ in range(3):
        loop.tick()
        loop.score_pose(0.95)
        loop.score_pose(0.1, ScoreSource.NETWORK)
        states.append(loop.state.track_state)
    assert states == [TrackState.SUSPECT, TrackState.SUSPECT, TrackState.LOST]


def test_a_frame_without_finite_network_output_is_suspect_whatever_its_scores() -> None:
    loop = Loop().track()
    trusted = loop.state.trusted_frame
    for _ in range(6):  # for ever, if it must be: geometry still holds the track
        loop.tick()
        loop.send(PoseScored(frame=loop.state.frame, source=ScoreSource.GEOMETRY, score=0.9, is_non_finite=True))
        assert loop.score_pose(0.9, ScoreSource.NETWORK) == ()
        assert loop.state.track_state is TrackState.SUSPECT
        assert loop.state.trusted_frame == trusted
    assert loop.follow([0.9]) == [TrackState.TRACKING]


def test_a_track_started_without_finite_network_output_is_not_remembered() -> None:
    loop = Loop()
    loop.tick()
    loop.send(MaskFound(attempt=1, frame=0))
    loop.send(PoseFound(attempt=1, frame=0, score=0.8))
    actions = loop.send(PosePropagated(attempt=1, frame=0, score=0.9, is_non_finite=True))
    assert actions == (StartTrack(frame=0), ForgetCrops())
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.send(PoseGiven(frame=0, score=0.9, is_non_finite=True)) == (StartTrack(frame=0), ForgetCrops())
    assert loop.follow([0.9]) == [TrackState.TRACKING]


def test_a_pose_of_a_doubted_side_begins_suspect_until_tracking_confirms_it() -> None:
    loop = Loop()
    loop.tick()
    loop.send(MaskFound(attempt=1, frame=0))
    loop.send(PoseFound(attempt=1, frame=0, score=0.8))
    actions = loop.send(PosePropagated(attempt=1, frame=0, score=0.9, is_side_doubted=True))
    assert actions == (StartTrack(frame=0), ForgetCrops())
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.send(PoseGiven(frame=0, score=0.9, is_side_doubted=True)) == (StartTrack(frame=0), ForgetCrops())
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.follow([0.9]) == [TrackState.TRACKING]


def test_a_late_score_counts_for_its_own_frame() -> None:
    loop = Loop()
    loop.tick(20)
    loop.send(PoseGiven(frame=19, score=0.9))
    loop.tick(2)
    before = loop.state
    assert loop.send(PoseScored(frame=18, source=ScoreSource.NETWORK, score=0.0)) == ()  # of the track before
    assert loop.state == before
    loop.send(PoseScored(frame=20, source=ScoreSource.NETWORK, score=0.0))
    assert loop.state.track_state is TrackState.SUSPECT
    before = loop.state
    loop.send(PoseScored(frame=20, source=ScoreSource.NETWORK, score=1.0))  # a second answer about the same frame
    assert loop.state == before


def test_a_late_score_makes_suspect_and_ends_that_for_its_own_source_alone() -> None:
    loop = Loop().track()
    late = loop.state.frame - 2
    loop.send(PoseScored(frame=late, source=ScoreSource.NETWORK, score=0.0))
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.follow([0.9]) == [TrackState.SUSPECT], "geometry does not make up for the network's low score"
    for frame in (late + 2, late + 3):  # its average is 0.45 and 0.675
        loop.send(PoseScored(frame=frame, source=ScoreSource.NETWORK, score=0.9))
    assert loop.state.track_state is TrackState.TRACKING
    assert loop.follow([0.0, 0.0]) == [TrackState.SUSPECT] * 2
    loop.send(PoseScored(frame=loop.state.frame - 1, source=ScoreSource.NETWORK, score=1.0))
    assert loop.state.track_state is TrackState.SUSPECT, "nor does the network end geometry's"
    for _ in range(3):
        loop.tick()
        loop.send(PoseScored(frame=loop.state.frame - 1, source=ScoreSource.NETWORK, score=0.0))
    assert loop.state.track_state is TrackState.LOST


def test_a_late_score_that_is_not_finite_makes_the_frame_suspect_in_which_it_arrives() -> None:
    loop = Loop().track()
    trusted = loop.state.trusted_frame
    loop.tick()
    loop.send(PoseScored(frame=loop.state.frame - 2, source=ScoreSource.NETWORK, score=0.9, is_non_finite=True))
    loop.score_pose(0.9)
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.state.trusted_frame == trusted
    assert loop.follow([0.9]) == [TrackState.TRACKING]


def test_an_old_frame_is_trusted_late_but_not_remembered() -> None:
    """Its picture is no longer there."""
    loop = Loop()
    loop.tick()
    loop.send(PoseGiven(frame=0, score=0.9))
    loop.tick(15)
    assert loop.send(PoseScored(frame=12, source=ScoreSource.NETWORK, score=0.9)) == ()
    assert loop.state.trusted_frame == 12
    assert loop.score_pose(0.9) == (RememberCrop(frame=15),)


def test_missing_scores_make_suspect_and_at_last_lost() -> None:
    loop = Loop().track()
    states = []
    for _ in range(60):
        loop.tick()
        states.append(loop.state.track_state)
    assert states.index(TrackState.SUSPECT) + 1 == pytest.approx(0.5 * RATE_HZ, abs=1)
    assert states.index(TrackState.LOST) + 1 == pytest.approx(1.5 * RATE_HZ, abs=3)


def test_after_a_pause_a_track_is_suspect_until_it_is_seen_again() -> None:
    loop = Loop().track()
    assert DoubtTrack() in loop.tick(is_after_pause=True)
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.score_pose(0.9) == ()
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.follow([0.9]) == [TrackState.TRACKING]


def test_a_single_bad_image_before_a_pause_does_not_lower_what_is_good_after_it() -> None:
    """A pose of 0.79 after it was a fifth of the diameter away, and passed since one image before it had 0.62."""
    loop = Loop().track()  # with 0.9
    loop.follow([0.62, 0.9])
    loop.tick(is_after_pause=True)
    loop.score_pose(0.79)
    assert loop.follow([0.79] * 5) == [TrackState.SUSPECT] * 5
    assert loop.follow([0.9, 0.9]) == [TrackState.SUSPECT, TrackState.TRACKING]


def test_scores_from_before_a_pause_hide_nothing_and_count_no_more() -> None:
    loop = Loop().track()
    before = loop.state.frame
    loop.tick(is_after_pause=True)
    loop.score_pose(0.3)  # with the average of before it would be 0.6
    history = loop.state.history_of(ScoreSource.GEOMETRY)
    assert history is not None
    assert (history.average, history.low_score_count) == (0.3, 1)
    state = loop.state
    assert loop.send(PoseScored(frame=before, source=ScoreSource.NETWORK, score=1.0)) == ()  # a late one
    assert loop.state == state


@pytest.mark.parametrize("oddness", [{"is_non_finite": True}, {"is_side_doubted": True}])
def test_what_is_odd_about_a_frame_confirms_nothing_after_a_pause(oddness: dict[str, bool]) -> None:
    loop = Loop().track()
    loop.tick(is_after_pause=True)
    for _ in range(20):
        loop.send(PoseScored(frame=loop.state.frame, source=ScoreSource.GEOMETRY, score=0.9, **oddness))
        loop.tick()
    assert loop.follow([0.9, 0.9]) == [TrackState.SUSPECT, TrackState.TRACKING]


def test_a_pose_that_was_found_before_a_pause_is_suspect_and_one_found_after_it_is_not() -> None:
    loop = Loop()
    loop.tick()
    loop.send(MaskFound(attempt=1, frame=0))
    loop.send(PoseFound(attempt=1, frame=0, score=0.9))
    loop.tick(is_after_pause=True)
    loop.send(PosePropagated(attempt=1, frame=1, score=0.9))
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.follow([0.9] * 15) == [*[TrackState.SUSPECT] * 14, TrackState.TRACKING]

    loop = Loop()
    loop.tick(is_after_pause=True)
    loop.send(MaskFound(attempt=1, frame=0))
    loop.send(PoseFound(attempt=1, frame=0, score=0.9))
    loop.send(PosePropagated(attempt=1, frame=0, score=0.9))
    assert loop.state.track_state is TrackState.TRACKING


def lost_and_found_before_a_pause(network: float | None, *, is_unverified: bool = False) -> Loop:
    """A pose that was found in a frame before a pause and propagated over it."""
    loop = Loop().track().lose()
    loop.tick()
    assert loop.state.trusted_frame is not None
    loop.send(PoseFound(attempt=loop.number, frame=loop.state.frame, score=0.9))
    loop.tick(is_after_pause=True)
    frame = loop.state.frame
    loop.send(
        PosePropagated(
            attempt=loop.number, frame=frame, score=0.9, network_score=network, is_unverified=is_unverified
        )
    )
    return loop


def test_what_was_tracked_before_keeps_its_strict_rules_over_a_pause() -> None:
    """Else another thing was found instead of it after the next loss, by the rules for what was never seen."""
    for network in (0.9, None):  # None: nobody but geometry to say so
        loop = lost_and_found_before_a_pause(network)
        assert loop.state.track_state is TrackState.SUSPECT
        assert loop.state.trusted_frame is not None


def test_what_was_found_before_a_pause_is_confirmed_by_what_its_scores_usually_were() -> None:
    """A mug that was found before a pause was told a quarter of its diameter away after it, with a score of 0.74."""
    loop = lost_and_found_before_a_pause(0.9)
    assert loop.follow([0.74] * 5) == [TrackState.SUSPECT] * 5  # before the loss it had 0.9
    assert loop.follow([0.88, 0.88]) == [TrackState.SUSPECT, TrackState.TRACKING]


def test_after_a_loss_nothing_is_accepted_while_the_network_gives_no_number() -> None:
    loop = lost_and_found_before_a_pause(None, is_unverified=True)
    assert loop.state.track_state is TrackState.SEARCHING


def test_a_source_without_new_scores_no_longer_makes_suspect() -> None:
    loop = Loop().track()
    loop.tick()
    loop.score_pose(0.0, ScoreSource.NETWORK)
    assert loop.follow([0.9] * 10) == [TrackState.SUSPECT] * 10
    assert loop.follow([0.9] * 10)[-1] is TrackState.TRACKING


# Recovery --------------------------------------------------------------------------------------------------------


def test_after_a_loss_the_local_search_comes_first_and_at_once() -> None:
    loop = Loop().track().lose()
    trusted = loop.state.trusted_frame
    assert trusted == 40  # the last frame of 0.9; the first of 0 was tracked, not trusted
    assert loop.tick() == (SearchLocally(attempt=loop.number, frame=loop.state.frame, trusted_frame=40),)
    assert loop.state.track_state is TrackState.SEARCHING


@pytest.mark.parametrize(("attempts", "local_search"), [(1, 1), (2, 2), (None, 4), (0, 0)])
def test_the_first_attempts_begin_with_a_local_search(attempts: int | None, local_search: int) -> None:
    loop = Loop(replace(CONFIG, local_search_attempts=attempts)).track().lose()
    begun = []
    for _ in range(4):
        actions = loop.tick()
        while not actions:
            actions = loop.tick()
        begun.append(type(actions[0]))
        while loop.state.attempt is not None:
            loop.send(NothingFound(attempt=loop.number))
    assert begun == [SearchLocally] * local_search + [SearchImage] * (4 - local_search)


def test_a_pose_from_the_local_search_is_verified_like_any_other() -> None:
    loop = Loop().track().lose()
    loop.tick()
    assert loop.send(PoseFound(attempt=loop.number, frame=loop.state.frame, score=0.8)) == (
        Propagate(attempt=loop.number, frame=loop.state.frame),
    )
    assert loop.state.track_state is TrackState.REGISTERING
    assert loop.send(PosePropagated(attempt=loop.number, frame=loop.state.frame, score=0.2)) == (
        SearchImage(attempt=loop.number, frame=loop.state.frame),
    )
    assert loop.state.track_state is TrackState.SEARCHING


def test_a_local_search_in_vain_goes_on_to_the_whole_image_without_a_wait() -> None:
    loop = Loop().track().lose()
    loop.tick()
    assert loop.send(NothingFound(attempt=loop.number)) == (SearchImage(attempt=loop.number, frame=loop.state.frame),)
    assert loop.send(NothingFound(attempt=loop.number)) == ()
    assert loop.state.failure_count == 1


def test_an_old_pose_is_no_prior() -> None:
    loop = Loop(replace(CONFIG, local_search_attempts=None)).track().lose()
    searches = []
    for _ in range(int(12 * RATE_HZ)):
        for action in loop.tick():
            searches.append((loop.state.time_s - loop.state.trusted_s, type(action)))
            loop.send(NothingFound(attempt=loop.number))
            if loop.state.attempt is not None:
                loop.send(NothingFound(attempt=loop.number))
    assert all(age_s <= CONFIG.local_search_for_s for age_s, kind in searches if kind is SearchLocally)
    assert {kind for _, kind in searches} == {SearchLocally, SearchImage}


def test_a_track_lost_again_at_once_waits_before_the_next_search() -> None:
    loop = Loop().track().lose()
    loop.tick()
    frame = loop.state.frame
    loop.send(PoseFound(attempt=loop.number, frame=frame, score=0.8))
    loop.send(PosePropagated(attempt=loop.number, frame=frame, score=0.8))
    loop.lose()
    assert loop.state.search_from_s == pytest.approx(loop.state.time_s + CONFIG.cool_down_s)
    lost_s, frame = loop.state.time_s, loop.state.frame + 1  # a frame of 30 Hz comes later than the wait ends
    assert loop.send(FrameArrived(frame=frame, time_s=lost_s + 0.029)) == ()
    assert len(loop.send(FrameArrived(frame=frame + 1, time_s=lost_s + 0.031))) == 1
    assert loop.send(FrameArrived(frame=frame + 2, time_s=lost_s + 0.06)) == ()


def test_memory_is_cleared_on_relocalisation_and_filled_with_trusted_frames_only() -> None:
    loop = Loop()
    loop.tick()
    assert ForgetCrops() in loop.send(PoseGiven(frame=0, score=0.9))
    remembered = []
    for score in [0.9] * 25 + [0.45] * 25:
        loop.tick()
        remembered += [a.frame for a in loop.score_pose(score) if isinstance(a, RememberCrop)]
    assert remembered == [10, 20]
    loop.lose().tick()
    frame = loop.state.frame
    loop.send(PoseFound(attempt=loop.number, frame=frame, score=0.9))
    actions = loop.send(PosePropagated(attempt=loop.number, frame=frame, score=0.9))
    assert actions == (StartTrack(frame=frame), ForgetCrops(), RememberCrop(frame=frame))


def test_a_given_pose_ends_the_attempt_and_is_suspect_when_it_does_not_fit() -> None:
    loop = Loop()
    loop.tick()
    assert loop.send(PoseGiven(frame=0, score=0.2)) == (CancelAttempt(attempt=1), StartTrack(frame=0), ForgetCrops())
    assert loop.state.track_state is TrackState.SUSPECT
    assert loop.follow([0.2, 0.2]) == [TrackState.SUSPECT, TrackState.LOST]


# Misuse ----------------------------------------------------------------------------------------------------------


def test_time_does_not_go_back() -> None:
    loop = Loop()
    loop.tick(3)
    for tick in (
        FrameArrived(frame=1, time_s=1.0),
        FrameArrived(frame=3, time_s=0.0),
        FrameArrived(frame=3, time_s=float("nan")),
    ):
        with pytest.raises(ValueError, match="time does not go back"):
            loop.send(tick)


def test_nothing_is_known_about_a_frame_to_come() -> None:
    loop = Loop()
    loop.tick()
    with pytest.raises(ValueError, match="PoseScored of frame 7, but the newest frame is 0"):
        loop.send(PoseScored(frame=7, source=ScoreSource.GEOMETRY, score=0.5))


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_scores_are_numbers_from_0_to_1(score: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        PoseScored(frame=0, source=ScoreSource.GEOMETRY, score=score)


def test_configurations_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"suspect_below 0\.6, trust_above 0\.5"):
        ScoreThresholds(suspect_below=0.6, trust_above=0.5)
    with pytest.raises(ConfigError, match="newest_weight: got 0"):
        ScoreThresholds(suspect_below=0.4, trust_above=0.5, newest_weight=0.0)
    with pytest.raises(ConfigError, match="attempt_timeout_s: got inf"):
        StateMachineConfig(attempt_timeout_s=float("inf"))
    with pytest.raises(ConfigError, match="local_search_attempts: got -1"):
        StateMachineConfig(local_search_attempts=-1)


# Whatever happens ------------------------------------------------------------------------------------------------

ALLOWED = {
    TrackState.SEARCHING: {TrackState.REGISTERING, TrackState.TRACKING, TrackState.SUSPECT},
    TrackState.REGISTERING: {TrackState.SEARCHING, TrackState.TRACKING, TrackState.SUSPECT},
    TrackState.TRACKING: {TrackState.SUSPECT, TrackState.LOST},
    TrackState.SUSPECT: {TrackState.TRACKING, TrackState.LOST},
    TrackState.LOST: {TrackState.SEARCHING, TrackState.TRACKING, TrackState.SUSPECT},
}
"""State changes of one event; SUSPECT is reached from outside the track by a `PoseGiven` with a low score only."""

STEP_OF = {
    SearchLocally: RecoveryStep.LOCAL_SEARCH,
    SearchImage: RecoveryStep.SEARCH,
    RegisterMask: RecoveryStep.REGISTER,
    Propagate: RecoveryStep.PROPAGATE,
}

scores = st.one_of(st.sampled_from([0.0, 0.4, 0.5, 0.6, 0.64, 0.65, 0.82, 1.0]), st.floats(0.0, 1.0))


@dataclass
class Worker:
    """Does one action at a time, as the loop's `locate` lane does."""

    job: SearchLocally | SearchImage | RegisterMask | Propagate | None = None

    def take(self, action: Action) -> None:
        if isinstance(action, WORK):
            assert self.job is None, f"asked for {action} while {self.job} is in progress"
            self.job = action
        elif isinstance(action, CancelAttempt):
            assert self.job is not None
            assert self.job.attempt == action.attempt
            self.job = None


class AnyLoop(RuleBasedStateMachine):
    """Frames, scores, answers and lost answers in any order."""

    @initialize(lost_after=st.integers(1, 4))
    def start(self, lost_after: int) -> None:
        self.config = replace(CONFIG, lost_after=lost_after)
        self.state = ObjectState()
        self.worker = Worker()
        self.verified = False  # whether the pose that is followed was verified since the last loss
        self.send(FrameArrived(frame=0, time_s=0.0))

    def send(self, event: Event) -> None:
        before = self.state
        self.state, actions = advance(before, event, self.config)
        assert advance(before, event, self.config) == (self.state, actions)  # a function of its arguments
        state = self.state.track_state
        assert state is before.track_state or state in ALLOWED[before.track_state]
        for action in actions:
            self.worker.take(action)
            if isinstance(action, StartTrack):
                assert isinstance(event, (PosePropagated, PoseGiven))
                self.verified = event.score >= self.config.geometry.trust_above
                if isinstance(event, PosePropagated):
                    assert self.verified
                    assert event.network_score is None or event.network_score >= self.config.network.trust_above
                    assert self.state.frame - event.frame <= self.config.propagation_slack
            elif isinstance(action, DropTrack):
                self.verified = False
            elif isinstance(action, RememberCrop):
                assert state is TrackState.TRACKING
                assert action.frame >= self.state.start_frame
                assert isinstance(event, (PosePropagated, PoseGiven)) or action.frame == self.state.frame  # is there
            elif isinstance(action, (SearchLocally, SearchImage)) and before.attempt is None:
                assert self.state.time_s >= before.search_from_s  # cool-down and back-off are kept
        if (
            isinstance(event, PoseScored)
            and self.state.has_pose
            and self.state.score_histories != before.score_histories
        ):
            history = self.state.history_of(event.source)
            assert history is not None
            assert history.frame == event.frame
            if before.pause_doubt is not None and before.history_of(event.source) is None:
                assert history.average == event.score
            assert state is TrackState.SUSPECT or not (event.is_non_finite or history.low_score_count)
        if state is TrackState.TRACKING and before.track_state is TrackState.SUSPECT:
            assert isinstance(event, (PoseScored, PoseGiven))  # trust comes from a score, not from time
            self.verified = True

    @rule(frames=st.integers(0, 3), late_s=st.floats(0.0, 0.05))
    def frames_go_by(self, frames: int, late_s: float) -> None:
        time_s = self.state.time_s + frames / RATE_HZ + late_s
        self.send(FrameArrived(frame=self.state.frame + frames, time_s=time_s))

    @rule(seconds=st.floats(0.15, 5.0))
    def the_camera_pauses(self, seconds: float) -> None:
        time_s = self.state.time_s + seconds
        self.send(FrameArrived(frame=self.state.frame + 1, time_s=time_s, is_after_pause=True))
        assert self.state.track_state is not TrackState.TRACKING

    @rule(seconds=st.floats(0.5, 8.0))
    def nothing_for_a_while(self, seconds: float) -> None:
        self.send(FrameArrived(frame=self.state.frame, time_s=self.state.time_s + seconds))

    @rule(source=st.sampled_from(ScoreSource), lag=st.integers(0, 5), score=scores, is_non_finite=st.booleans())
    def a_score(self, source: ScoreSource, lag: int, score: float, is_non_finite: bool = False) -> None:
        self.send(
            PoseScored(frame=max(self.state.frame - lag, 0), source=source, score=score, is_non_finite=is_non_finite)
        )

    @rule(score=scores, frames=st.integers(1, 30))
    def scores_of_a_run_of_frames(self, score: float, frames: int) -> None:
        for _ in range(frames):
            self.frames_go_by(1, 0.0)
            self.a_score(ScoreSource.GEOMETRY, 0, score)

    @precondition(lambda self: self.worker.job is not None)
    @rule(lag=st.integers(0, 5), score=scores, network=st.none() | scores, found=st.booleans())
    def an_answer(self, lag: int, score: float, network: float | None, found: bool) -> None:
        job, self.worker.job = self.worker.job, None
        assert job is not None
        frame = max(self.state.frame - lag, job.frame)
        if not found:
            self.send(NothingFound(attempt=job.attempt))
        elif isinstance(job, SearchImage):
            self.send(MaskFound(attempt=job.attempt, frame=job.frame))
        elif isinstance(job, Propagate):
            self.send(PosePropagated(attempt=job.attempt, frame=frame, score=score, network_score=network))
        else:
            self.send(PoseFound(attempt=job.attempt, frame=job.frame, score=score))

    @precondition(lambda self: self.state.attempt_count > 0)
    @rule(data=st.data(), kind=st.sampled_from([MaskFound, PoseFound, PosePropagated, NothingFound]))
    def an_answer_nobody_waits_for(self, data: st.DataObject, kind: type) -> None:
        current = self.state.attempt.number if self.state.attempt else None
        number = data.draw(st.integers(0, self.state.attempt_count).filter(lambda n: n != current))
        more = {} if kind is NothingFound else {"frame": 0}
        more |= {"score": 1.0} if kind in (PoseFound, PosePropagated) else {}
        before = self.state
        self.send(kind(attempt=number, **more))
        assert self.state == before

    @rule(lag=st.integers(0, 2), score=scores)
    def somebody_knows_the_pose(self, lag: int, score: float) -> None:
        self.send(PoseGiven(frame=max(self.state.frame - lag, 0), score=score))

    @invariant()
    def one_attempt_and_its_action_belong_together(self) -> None:
        attempt, job = self.state.attempt, self.worker.job
        assert (attempt is None) == (job is None)
        if attempt is not None and job is not None:
            assert (attempt.number, attempt.step) == (job.attempt, STEP_OF[type(job)])

    @invariant()
    def the_state_says_what_is_going_on(self) -> None:
        state = self.state
        step = state.attempt.step if state.attempt else None
        if state.track_state is TrackState.REGISTERING:
            assert step in (RecoveryStep.REGISTER, RecoveryStep.PROPAGATE)
        elif state.track_state is TrackState.SEARCHING:
            assert step in (None, RecoveryStep.LOCAL_SEARCH, RecoveryStep.SEARCH)
        else:
            assert step is None

    @invariant()
    def what_a_pause_left_in_doubt_is_not_tracking(self) -> None:
        assert self.state.pause_doubt is None or self.state.track_state is not TrackState.TRACKING

    @invariant()
    def tracking_is_verified(self) -> None:
        assert self.verified or self.state.track_state is not TrackState.TRACKING

    def teardown(self) -> None:
        """From wherever the run ended, a loop that works gets to a track, and one that never answers keeps trying."""
        if not hasattr(self, "worker"):
            return
        here, job = self.state, self.worker.job
        self.reach_tracking()
        self.state, self.worker.job = here, job
        self.keep_trying()

    def reach_tracking(self) -> None:
        for _ in range(60):
            if self.state.track_state is TrackState.TRACKING:
                return
            self.frames_go_by(1, 0.0)
            if self.state.has_pose:
                self.a_score(ScoreSource.GEOMETRY, 0, 1.0)
            for _ in range(4):  # local search or search, register, propagate, and propagate once more
                if self.worker.job is not None:
                    self.an_answer(0, 1.0, None, True)
        raise AssertionError(f"stuck in {self.state}")

    def keep_trying(self) -> None:
        count = self.state.attempt_count
        for _ in range(35):  # two attempts that take too long, 160 s each at most
            self.nothing_for_a_while(10.0)
        assert self.state.attempt_count >= count + 2


AnyLoop.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyLoop = AnyLoop.TestCase
