"""How many threads work may have: what it could use, the bound, and the cores."""

from __future__ import annotations

import os

import pytest

from storm_edge import thread_limit


@pytest.mark.parametrize(
    ("most", "limit", "cores", "expected"),
    [(2, None, 8, 2), (8, None, 4, 4), (8, 3, 4, 3), (8, 16, 4, 4), (1, None, 8, 1), (2, 1, 8, 1)],
)
def test_the_least_of_all_three(
    monkeypatch: pytest.MonkeyPatch, most: int, limit: int | None, cores: int, expected: int
) -> None:
    monkeypatch.setattr(thread_limit, "_limit", limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert thread_limit.usable_threads(most) == expected


def test_where_nobody_says_which_cores_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_limit, "_limit", None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert thread_limit.usable_threads(4) == 1
