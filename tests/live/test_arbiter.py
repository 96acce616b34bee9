"""Whose turn it is: by need, one at a time, the longest waiting first."""

from __future__ import annotations

from storm_edge.live.arbiter import Need, Wish, next_turn


def wish(need: Need, since_s: float, *, held: bool = False, under_way: bool = False) -> Wish:
    return Wish(need=need, since_s=since_s, held=held, under_way=under_way)


def test_nobody_waits() -> None:
    assert next_turn([]) is None
    assert next_turn([None, wish(Need.SEARCH, 0.0, under_way=True)]) is None


def test_the_most_urgent_goes_first() -> None:
    wishes = [wish(Need.SEARCH, 0.0, held=True), wish(Need.NEARBY, 1.0), wish(Need.FORWARD, 2.0), None]
    assert next_turn(wishes) == 2
    assert next_turn(wishes[:2]) == 1


def test_among_equals_the_turn_is_kept_and_then_goes_to_the_longest_waiting() -> None:
    assert next_turn([wish(Need.SEARCH, 0.0), wish(Need.SEARCH, 1.0, held=True)]) == 1
    assert next_turn([wish(Need.SEARCH, 2.0), wish(Need.SEARCH, 1.0)]) == 1
    assert next_turn([wish(Need.SEARCH, 1.0), wish(Need.SEARCH, 1.0)]) == 0


def test_on_a_lane_only_what_is_more_urgent_than_its_work_joins_it() -> None:
    searching = wish(Need.SEARCH, 0.0, under_way=True)
    assert next_turn([searching, wish(Need.SEARCH, 0.0)]) is None
    assert next_turn([searching, wish(Need.NEARBY, 5.0)]) == 1
    looking = wish(Need.NEARBY, 0.0, under_way=True)
    assert next_turn([searching, looking, wish(Need.NEARBY, 0.0)]) is None
    assert next_turn([searching, looking, wish(Need.FORWARD, 9.0)]) == 2
