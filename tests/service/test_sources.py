from __future__ import annotations

import pytest

from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sources import SourceState
from storm_edge.service.sources import Played
from tests.live.sources.test_handed_in import frame

RATE_HZ = 1000.0


def read(place: int) -> Frame | SkipReason:
    return SkipReason.UNREADABLE if place == 2 else frame(10 + place)


def polled(source: Played, count: int) -> list[int | SkipReason | None]:
    found: list[int | SkipReason | None] = []
    while len(found) < count:
        given = source.poll(1.0)
        found.append(given.index if isinstance(given, Frame) else given)
    return found


def slow_clock(source: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every frame is there exactly when it is due, so that none is passed over."""
    now_s = 0.0

    def sleep(rest_s: float) -> None:
        nonlocal now_s
        now_s += rest_s

    monkeypatch.setattr(source._pacer, "_now", lambda: now_s)
    monkeypatch.setattr(source._pacer, "_sleep", sleep)


def test_a_recording_is_played_once_under_its_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    source = Played(read, 4, rate_hz=RATE_HZ, play="once", what="x", at_end=lambda: ended.append(True))
    slow_clock(source, monkeypatch)
    source.open()
    assert polled(source, 5) == [10, 11, SkipReason.UNREADABLE, 13, None]
    assert source.status.state is SourceState.ENDED
    assert source.poll(0.0) is None
    assert ended == [True]


def test_what_is_played_again_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[int] = []

    def noted(place: int) -> Frame:
        places.append(place)
        return frame(place)

    for play, expected in (("again", [0, 1, 2, 0, 1]), ("back-and-forth", [0, 1, 2, 1, 0])):
        places.clear()
        source = Played(noted, 3, rate_hz=RATE_HZ, play=play, what="x")
        slow_clock(source, monkeypatch)
        source.open()
        assert polled(source, 5) == [0, 1, 2, 3, 4]
        assert places == expected


def test_frames_come_at_their_time_and_a_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Played(frame, 100, rate_hz=0.01, play="again", what="x")
    source.open()
    first = source.poll(0.0)
    assert isinstance(first, Frame)
    assert source.poll(0.001) is None  # the next is due in 100 s
    assert source.status.state is SourceState.RUNNING
