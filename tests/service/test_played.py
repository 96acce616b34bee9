from __future__ import annotations

import pytest

from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sources import SourceState
from storm_edge.service.played import Play, Played, Timetable, paced_by
from tests.live.sources.test_handed_in import frame

TIMES_S = [0.0, 0.1, 0.4]


class Clock:
    """Goes on when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, rest_s: float) -> None:
        self.now_s += rest_s


def played(play: Play, clock: Clock, *, ended: list[bool] | None = None) -> Played:
    def read(place: int) -> Frame | SkipReason:
        return SkipReason.UNREADABLE if place == 1 else frame(10 + place)

    source = Played(
        read,
        Timetable(TIMES_S, 0.2, play),
        keeps_numbers=play == "once",
        what="x",
        at_end=None if ended is None else lambda: ended.append(True),
        now=clock,
        sleep=clock.sleep,
    )
    source.open()
    return source


@pytest.mark.parametrize(
    ("play", "expected"),
    [
        ("once", [(0, 0.0), (1, 0.1), (2, 0.4), None, None, None]),
        ("again", [(0, 0.0), (1, 0.1), (2, 0.4), (0, 0.6), (1, 0.7), (2, 1.0)]),
        ("back-and-forth", [(0, 0.0), (1, 0.1), (2, 0.4), (1, 0.7), (0, 0.8), (1, 0.9)]),
    ],
)
def test_what_is_due_when(play: Play, expected: list[tuple[int, float] | None]) -> None:
    found = [Timetable(TIMES_S, 0.2, play).due(number) for number in range(6)]
    assert [item if item is None else (item[0], pytest.approx(item[1])) for item in expected] == found


def test_one_frame_is_played_at_the_rate() -> None:
    for play in ("again", "back-and-forth"):
        due = [Timetable([0.0], 0.5, play).due(number) for number in range(3)]  # type: ignore[arg-type]
        assert due == [(0, 0.0), (0, 0.5), (0, 1.0)]


def test_a_recording_keeps_its_numbers_and_ends(clock: Clock) -> None:
    ended: list[bool] = []
    source = played("once", clock, ended=ended)
    found = [source.poll(1.0) for _ in range(5)]
    assert [item.index if isinstance(item, Frame) else item for item in found] == [
        10,
        SkipReason.UNREADABLE,
        12,
        None,
        None,
    ]
    last = found[2]
    assert isinstance(last, Frame)
    assert isinstance(found[0], Frame)
    assert last.stamp_ns - found[0].stamp_ns == 400_000_000
    assert source.status.state is SourceState.ENDED
    assert ended == [True]


def test_what_comes_again_is_counted_on_and_a_busy_loop_gets_the_newest(clock: Clock) -> None:
    source = played("again", clock)
    first = source.poll(1.0)
    assert isinstance(first, Frame)
    clock.now_s += 0.65  # 1 and 2 were due meanwhile, and 3 since 0.05 s
    newest = source.poll(1.0)
    assert isinstance(newest, Frame)
    assert (first.index, newest.index) == (0, 3)
    assert source.status.counts == {"passed_over": 2}


def test_a_wait_ends_in_time(clock: Clock) -> None:
    source = played("once", clock)
    source.poll(0.0)
    source.poll(0.2)
    began_s = clock.now_s
    assert source.poll(0.01) is None
    assert clock.now_s - began_s == pytest.approx(0.01)
    assert source.status.state is SourceState.RUNNING


def test_stamps_that_jump_are_a_frames_time() -> None:
    stamps_ns = [5_000_000_000, 5_050_000_000, 4_000_000_000, 9_000_000_000, 9_050_000_000]
    assert paced_by(stamps_ns, 10.0, 1.0) == pytest.approx([0.0, 0.05, 0.15, 0.25, 0.3])
    assert paced_by([7], 10.0, 1.0) == [0.0]


@pytest.fixture
def clock() -> Clock:
    return Clock()
