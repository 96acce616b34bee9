from __future__ import annotations

import os

import pytest

from storm_edge import environment
from storm_edge.environment import load_per_core, machine, versions


def test_the_machine_is_described_without_its_places() -> None:
    found = machine()
    assert set(found) == {"cpu", "usable_cores", "memory_mib", "system", "load_average"}
    assert 1 <= found["usable_cores"] <= (os.cpu_count() or 1)


def test_a_library_that_is_not_installed_is_left_out() -> None:
    found = versions("scipy", "no-such-distribution")
    assert {"storm-edge", "python", "numpy", "scipy"} <= found.keys()
    assert "no-such-distribution" not in found


def test_load_is_that_of_the_last_minute_over_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (3.0, 9.0, 9.0))
    monkeypatch.setattr(environment.os, "cpu_count", lambda: 4)
    assert load_per_core() == 0.75
    monkeypatch.delattr(environment.os, "getloadavg")
    assert load_per_core() is None
