"""Every case can be found by its name, and says what it needs and whether it takes times."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import record
from benchmarks.registry import Case, Outcome, RecordOptions, case_names, load_case
from storm_edge.errors import ConfigError

NEED_TORCH = {"som", "export", "full_bundle", "parity"}


@dataclass(frozen=True, kw_only=True)
class TinyOptions(RecordOptions):
    """Options of a case that measures nothing."""

    count: int = 3


def tiny(options: TinyOptions) -> Outcome:
    """Measure nothing."""
    return Outcome(summary={"count": options.count}, rows=[{"index": i} for i in range(options.count)])


def tiny_case(*, timing: bool) -> Case:
    return Case(name="tiny", function=tiny, options=TinyOptions, record="tiny", timing=timing)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(record, "ROWS", tmp_path / "rows")
    return tmp_path


@pytest.mark.parametrize("name", case_names())
def test_a_case_is_a_module_with_a_function_of_its_name(name: str) -> None:
    if name in NEED_TORCH:
        pytest.importorskip("torch")
    found = load_case(name)
    assert (found.name, found.function.__name__) == (name, name)
    assert found.about
    assert found.function.__doc__
    command.command_of(found, ["run", name])


def test_an_unknown_case_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'recoveries'.*recovery"):
        load_case("recoveries")


def test_times_and_accuracies_are_told_apart() -> None:
    assert load_case("latency").timing
    assert not load_case("recovery").timing


def test_a_case_that_nobody_ran_is_marked() -> None:
    assert load_case("verify").is_recorded
    never = Case(name="never", function=tiny, options=TinyOptions, record="no-such-record", timing=False)
    assert not never.is_recorded
    assert not load_case("make_sets").is_recorded  # it has no record to leave


def test_options_of_the_command_line_reach_the_case(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = command.command_of(tiny_case(timing=False), ["run", "tiny", "--count", "2", "--record", "other"])
    with pytest.raises(SystemExit) as ended:
        app(args=["--count", "2", "--record", "other"])
    assert ended.value.code == 0
    written = json.loads((folder / "records" / "other.json").read_text())
    assert written["results"] == {"count": 2}
    assert written["command"] == "python -m benchmarks run tiny --count 2 --record other"
    assert len((folder / "rows" / "other.jsonl").read_text().splitlines()) == 2


def test_a_busy_machine_takes_no_times_and_says_so_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "load_per_core", lambda: 2.0)
    monkeypatch.setattr(command, "load_case", lambda name: tiny_case(timing=True))
    with pytest.raises(SystemExit) as ended:
        command.main(["run", "tiny"])
    assert str(ended.value.code).startswith("error: load per core before the run: got 2.00")
    assert "\n" not in str(ended.value.code)
    assert not list(folder.iterdir())


def test_words_that_mean_nothing_are_refused_in_one_line() -> None:
    for words in (["measure"], ["run"], ["list", "more"]):
        with pytest.raises(SystemExit, match="error: benchmarks: got"):
            command.main(words)
