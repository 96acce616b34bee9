"""Records are short, say how they were made, and are not made of times that a busy machine spoilt."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.record import MAX_LINES, LoadWatch, dumps, write_record
from storm_edge.errors import InputError

RECORDS = Path(__file__).resolve().parents[2] / "benchmarks" / "records"
IDLE = {"before": 0.1, "after": 0.2, "of_the_run": 0.1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(record, "ROWS", tmp_path / "rows")
    return tmp_path


def set_load(monkeypatch: pytest.MonkeyPatch, *loads: float | None) -> None:
    given = iter(loads)
    monkeypatch.setattr(record, "load_per_core", lambda: next(given))


@pytest.mark.parametrize("path", sorted(RECORDS.iterdir()), ids=lambda path: path.name)
def test_every_record_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.name)
def test_every_record_is_json_of_its_own_name(path: Path) -> None:
    assert json.loads(path.read_text(encoding="utf-8"))["name"] == path.stem


def test_a_record_says_how_it_is_made_again(folder: Path) -> None:
    command = ["run", "verify", "/home/somebody/sets", "--count", "3"]
    rows = [{"kind": "right"}, {"kind": "lost"}]
    path = write_record("verify", {"auroc": 0.9}, command=command, load=IDLE, rows=rows)
    written = json.loads(path.read_text())
    assert written["command"] == "python -m benchmarks run verify sets --count 3"
    assert written["load_per_core"] == IDLE
    assert written["machine"]["usable_cores"] >= 1
    assert {"storm-edge", "python", "numpy"} <= written["versions"].keys()
    assert written["results"] == {"auroc": 0.9}
    kept = (folder / "rows" / "verify.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == rows


def test_a_record_that_nobody_would_read_is_refused_and_nothing_is_written(folder: Path) -> None:
    rows = [{"number": i, "name": "x" * 80} for i in range(MAX_LINES)]
    with pytest.raises(InputError, match="summarise") as raised:
        write_record("long", {"rows": rows}, command=[], load=IDLE, rows=rows)
    assert "\n" not in str(raised.value)
    assert not list(folder.iterdir())


def test_times_are_refused_on_a_busy_machine_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    set_load(monkeypatch, 1.5)
    with pytest.raises(InputError, match="wait until the machine is idle") as raised:
        LoadWatch(timing=True)
    assert "got 1.50" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_times_are_refused_where_others_came_while_they_were_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    set_load(monkeypatch, 0.1, 4.0)
    monkeypatch.setattr(record, "_cpu_s", lambda: 0.0)  # counted in whole ticks: one is much in a test's millisecond
    watch = LoadWatch(timing=True)
    with pytest.raises(InputError, match="of others after the run"):
        watch.end()


def test_the_run_itself_is_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case that keeps every core busy raises the load to 1 and more by itself."""
    set_load(monkeypatch, 0.1, 1.8)
    spent = iter([0.0, 1e9])
    monkeypatch.setattr(record, "_cpu_s", lambda: next(spent))
    load = LoadWatch(timing=True).end()
    assert (load["before"], load["after"]) == (0.1, 1.8)


def test_accuracy_may_be_measured_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    set_load(monkeypatch, 9.0, 9.0)
    assert LoadWatch(timing=False).end()["before"] == 9.0


def test_a_machine_that_does_not_tell_its_load_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_load(monkeypatch, None, None)
    assert LoadWatch(timing=True).end()["after"] is None


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": None, "b": True, "c": 1.5},
        {"long": [0.123456 * i for i in range(100)]},
        {"nested": {f"key {i}": {"p50": 1.0 * i, "p99": 2.0 * i, "note": "x" * 30} for i in range(20)}},
        [{"deep": [[1, 2], [3, 4]] * 20}, 'text with "quotes" and ü'],
    ],
)
def test_what_is_written_for_people_is_the_same_json(value: object) -> None:
    text = dumps(value)
    assert json.loads(text) == value
    assert max(map(len, text.splitlines())) <= 120


def test_every_record_that_is_named_is_there() -> None:
    root = RECORDS.parents[1]
    texts = [*root.glob("*.md"), *root.glob("docs/**/*.md")]
    texts += [path for folder in ("storm_edge", "benchmarks") for path in root.glob(f"{folder}/**/*.[pm][yd]")]
    named = {
        (path.relative_to(root).as_posix(), name)
        for path in texts
        for name in re.findall(r"benchmarks/records/([\w-]+\.jsonl?)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not {(path, name) for path, name in named if not (RECORDS / name).is_file()}
