from __future__ import annotations

import itertools

import pytest

from storm_edge.errors import ConfigError
from storm_edge.replay.pacing import Pacer, ping_pong_index


class Clock:
    """A clock that only sleeping and the test move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0.0
        self.now_s += seconds


def paced(clock: Clock, rate_hz: float | None) -> Pacer:
    return Pacer(rate_hz, now=clock.now, sleep=clock.sleep)


def test_a_quick_loop_waits_for_each_frame() -> None:
    clock = Clock()
    pacer = paced(clock, 10.0)
    for number in range(4):
        due = pacer.next()
        assert (due.number, due.skipped) == (number, 0)
        assert due.stamp_s == pytest.approx(100.0 + 0.1 * number)
        assert clock.now_s == pytest.approx(due.stamp_s)
        clock.now_s += 0.03


def test_the_newest_frame_wins_and_every_other_is_counted() -> None:
    clock = Clock()
    pacer = paced(clock, 10.0)
    pacer.next()
    clock.now_s += 0.37  # frames 1, 2 and 3 came meanwhile
    due = pacer.next()
    assert (due.number, due.skipped) == (3, 2)
    assert due.stamp_s == pytest.approx(100.3)
    assert due.stamp_ns == 300_000_000
    assert clock.now_s == pytest.approx(100.37)  # it is late already: no waiting
    assert pacer.next().number == 4


def test_frames_offered_and_skipped_add_up() -> None:
    clock = Clock()
    pacer = paced(clock, 30.0)
    taken = []
    for work_s in [0.01, 0.2, 0.033, 0.5, 0.0, 0.07] * 20:
        taken.append(pacer.next())
        clock.now_s += work_s
    assert sum(due.skipped for due in taken) + len(taken) == taken[-1].number + 1
    assert all(a.number < b.number for a, b in itertools.pairwise(taken))


def test_without_a_rate_no_frame_waits_and_none_is_skipped() -> None:
    clock = Clock()
    pacer = paced(clock, None)
    for number in range(3):
        clock.now_s += 0.5
        due = pacer.next()
        assert (due.number, due.skipped, due.stamp_s) == (number, 0, clock.now_s)
        assert due.stamp_ns == round(number * 1e9 / 30)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_no_camera_has(rate_hz: float) -> None:
    with pytest.raises(ConfigError, match="--rate"):
        Pacer(rate_hz)


def test_a_recording_ends_and_what_was_passed_over_at_its_end_is_counted() -> None:
    clock = Clock()
    pacer = Pacer(10.0, count=5, now=clock.now, sleep=clock.sleep)
    assert [pacer.next().number for _ in range(3)] == [0, 1, 2]
    clock.now_s += 2.0
    assert pacer.next().number == 5
    assert pacer.skipped == 2


def test_a_recording_is_played_forwards_and_backwards() -> None:
    assert [ping_pong_index(n, 4) for n in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [ping_pong_index(n, 1) for n in range(3)] == [0, 0, 0]
