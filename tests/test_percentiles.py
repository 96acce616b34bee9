from __future__ import annotations

from storm_edge.percentiles import first_and_last, percentiles


def test_percentiles_of_a_hundred_values() -> None:
    assert percentiles([float(ms) for ms in range(1, 101)]) == {
        "p50": 50.5,
        "p90": 90.1,
        "p99": 99.01,
        "max": 100.0,
        "count": 100,
    }


def test_other_ranks_may_be_asked_for() -> None:
    assert percentiles([1.0, 3.0], (50, 95)) == {"p50": 2.0, "p95": 2.9, "max": 3.0, "count": 2}


def test_nothing_has_no_percentiles() -> None:
    assert percentiles([]) == {}


def test_a_drift_shows_between_the_first_and_the_last_tenth() -> None:
    assert first_and_last([1.0] * 10 + [5.0] * 80 + [9.0] * 10) == {"first_p50": 1.0, "last_p50": 9.0}
    assert first_and_last([2.0]) == {"first_p50": 2.0, "last_p50": 2.0}
