"""Whose turn it is: by need, one at a time, the longest waiting first."""

from __future__ import annotations

from storm_edge.live.arbiter import Need, RecoveryRequest, next_request


def request(need: Need, since_s: float, *, held: bool = False, under_way: bool = False) -> RecoveryRequest:
    return RecoveryRequest(need=need, since_s=since_s, held=held, under_way=under_way)


def test_nobody_waits() -> None:
    assert next_request([]) is None
    assert next_request([None, request(Need.SEARCH, 0.0, under_way=True)]) is None


def test_the_most_urgent_goes_first() -> None:
    requests = [
        request(Need.SEARCH, 0.0, held=True),
        request(Need.LOCAL_SEARCH, 1.0),
        request(Need.PROPAGATE, 2.0),
        None,
    ]
    assert next_request(requests) == 2
    assert next_request(requests[:2]) == 1


def test_among_equals_the_turn_is_kept_and_then_goes_to_the_longest_waiting() -> None:
    assert next_request([request(Need.SEARCH, 0.0), request(Need.SEARCH, 1.0, held=True)]) == 1
    assert next_request([request(Need.SEARCH, 2.0), request(Need.SEARCH, 1.0)]) == 1
    assert next_request([request(Need.SEARCH, 1.0), request(Need.SEARCH, 1.0)]) == 0


def test_on_a_lane_only_what_is_more_urgent_than_its_work_joins_it() -> None:
    searching = request(Need.SEARCH, 0.0, under_way=True)
    assert next_request([searching, request(Need.SEARCH, 0.0)]) is None
    assert next_request([searching, request(Need.LOCAL_SEARCH, 5.0)]) == 1
    looking = request(Need.LOCAL_SEARCH, 0.0, under_way=True)
    assert next_request([searching, looking, request(Need.LOCAL_SEARCH, 0.0)]) is None
    assert next_request([searching, looking, request(Need.PROPAGATE, 9.0)]) == 2
