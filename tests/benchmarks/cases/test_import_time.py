from __future__ import annotations

import pytest

from benchmarks.cases.import_time import ImportOptions, import_time, measure_import
from storm_edge.errors import InputError


def test_an_import_is_timed_in_a_process_of_its_own() -> None:
    found = measure_import("storm_edge.errors")
    assert "storm_edge.errors" in found["modules"]
    assert "numpy" not in found["modules"]
    assert found["ms"] > 0.0


def test_what_is_loaded_is_counted() -> None:
    outcome = import_time(ImportOptions(module=["storm_edge.errors"], repeats=2))
    summary = outcome.summary["storm_edge.errors"]
    assert summary["import_ms"]["count"] == 2
    assert summary["module_count"] == len(outcome.rows) >= summary["own_module_count"] == 2
    assert summary["workshop"] == []


def test_a_module_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="No module named") as raised:
        measure_import("storm_edge.no_such_module")
    assert "\n" not in str(raised.value)
