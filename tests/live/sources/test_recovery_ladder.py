from __future__ import annotations

from storm_edge.live.sources.config import CameraConfig
from storm_edge.live.sources.recovery_ladder import RecoveryLadder, Rung

CONFIG = CameraConfig(stall_s=1.0, rung_s=5.0, open_s=20.0, give_up_s=60.0)


def climbed(ladder: RecoveryLadder, from_s: float, to_s: float, *, is_alive: bool = True) -> list[tuple[float, Rung]]:
    """Rungs with the times at which they were due, asked eight times a second."""
    found = []
    for step in range(round((to_s - from_s) * 8)):
        now_s = from_s + step / 8
        rung = ladder.due(now_s, is_alive=is_alive)
        if rung is not None:
            found.append((now_s, rung))
            if rung is Rung.GIVE_UP:
                break
    return found


def test_a_silent_camera_is_treated_gently_first_and_given_up_in_the_end() -> None:
    ladder = RecoveryLadder(CONFIG, 0.0)
    ladder.frame(10.0)
    assert climbed(ladder, 10.0, 100.0) == [
        (11.125, Rung.SENSORS),
        (16.25, Rung.RESET),
        (21.375, Rung.PROCESS),
        (41.5, Rung.PROCESS),
        (61.625, Rung.PROCESS),
        (70.125, Rung.GIVE_UP),
    ]


def test_a_frame_ends_it_and_the_next_silence_begins_gently_again() -> None:
    ladder = RecoveryLadder(CONFIG, 0.0)
    ladder.frame(0.0)
    assert [rung for _, rung in climbed(ladder, 0.0, 8.0)] == [Rung.SENSORS, Rung.RESET]
    ladder.frame(8.0)
    assert ladder.rung is Rung.NONE
    assert climbed(ladder, 8.0, 9.0) == []
    assert [rung for _, rung in climbed(ladder, 9.0, 10.0)] == [Rung.SENSORS]


def test_a_process_that_ended_is_started_at_once_and_one_that_ends_again_after_a_pause() -> None:
    ladder = RecoveryLadder(CONFIG, 0.0)
    ladder.frame(10.0)
    assert climbed(ladder, 10.0, 13.5, is_alive=False) == [
        (10.0, Rung.PROCESS),
        (11.0, Rung.PROCESS),
        (12.0, Rung.PROCESS),
        (13.0, Rung.PROCESS),
    ]


def test_the_first_start_has_its_own_limit() -> None:
    ladder = RecoveryLadder(CONFIG, 0.0)
    assert ladder.rung is Rung.START
    assert climbed(ladder, 0.0, 100.0) == [
        (20.125, Rung.PROCESS),
        (40.25, Rung.PROCESS),
        (60.125, Rung.GIVE_UP),
    ]
    assert not ladder.has_seen_frame
