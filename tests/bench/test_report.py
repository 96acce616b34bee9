from __future__ import annotations

from storm_edge.bench.report import phase_statistics


def test_statistics_of_a_stage() -> None:
    samples = [float(ms) for ms in range(1, 101)]
    statistics = phase_statistics({"track": samples})["track"]
    assert statistics == {
        "p50": 50.5,
        "p90": 90.1,
        "p99": 99.01,
        "max": 100.0,
        "count": 100,
        "jitter": 1.0,
        "first_p50": 5.5,
        "last_p50": 95.5,
    }
    assert phase_statistics({"track": [2.0]})["track"]["jitter"] == 0.0


def test_a_drift_and_jitter_show_in_statistics() -> None:
    statistics = phase_statistics({"track": [1.0, 1.0, 3.0, 3.0]})["track"]
    assert (statistics["first_p50"], statistics["last_p50"]) == (1.0, 3.0)
    assert statistics["jitter"] == 0.667
