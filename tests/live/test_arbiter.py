"""Which recovery goes on: by priority, one at a time, the longest waiting first."""

from __future__ import annotations

from storm_edge.live.arbiter import RecoveryPriority, RecoveryRequest, next_request


def request(
    priority: RecoveryPriority, since_s: float, *, was_served_last: bool = False, is_submitted: bool = False
) -> RecoveryRequest:
    return RecoveryRequest(
        priority=priority, since_s=since_s, was_served_last=was_served_last, is_submitted=is_submitted
    )


def test_nobody_waits() -> None:
    assert next_request([]) is None
    assert next_request([None, request(RecoveryPriority.SEARCH, 0.0, is_submitted=True)]) is None


def test_the_most_urgent_goes_first() -> None:
    requests = [
        request(RecoveryPriority.SEARCH, 0.0, was_served_last=True),
        request(RecoveryPriority.LOCAL_SEARCH, 1.0),
        request(RecoveryPriority.PROPAGATE, 2.0),
        None,
    ]
    assert next_request(requests) == 2
    assert next_request(requests[:2]) == 1


def test_among_equals_the_turn_is_kept_and_then_goes_to_the_longest_waiting() -> None:
    assert (
        next_request(
            [request(RecoveryPriority.SEARCH, 0.0), request(RecoveryPriority.SEARCH, 1.0, was_served_last=True)]
        )
        == 1
    )
    assert next_request([request(RecoveryPriority.SEARCH, 2.0), request(RecoveryPriority.SEARCH, 1.0)]) == 1
    assert next_request([request(RecoveryPriority.SEARCH, 1.0), request(RecoveryPriority.SEARCH, 1.0)]) == 0


def test_on_a_lane_only_what_is_more_urgent_than_its_work_joins_it() -> None:
    searching = request(RecoveryPriority.SEARCH, 0.0, is_submitted=True)
    assert next_request([searching, request(RecoveryPriority.SEARCH, 0.0)]) is None
    assert next_request([searching, request(RecoveryPriority.LOCAL_SEARCH, 5.0)]) == 1
    looking = request(RecoveryPriority.LOCAL_SEARCH, 0.0, is_submitted=True)
    assert next_request([searching, looking, request(RecoveryPriority.LOCAL_SEARCH, 0.0)]) is None
    assert next_request([searching, looking, request(RecoveryPriority.PROPAGATE, 9.0)]) == 2
