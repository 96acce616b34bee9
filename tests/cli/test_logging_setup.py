"""The log on stderr: its levels, its lines for people and its JSON for services."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

import pytest

from storm_edge.cli.console import say
from storm_edge.cli.logging_setup import COMMANDS, colours_wanted, level_of, set_up_logging

LIBRARY = "storm_edge.live.session"


@pytest.mark.parametrize(
    ("verbose", "quiet", "level"),
    [
        (0, False, logging.WARNING),
        (1, False, logging.INFO),
        (2, False, logging.DEBUG),
        (3, False, logging.DEBUG),
        (0, True, logging.ERROR),
    ],
)
def test_levels(verbose: int, quiet: bool, level: int) -> None:
    assert level_of(verbose=verbose, quiet=quiet) == level


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=1)
    say("labels are estimates")
    logging.getLogger(COMMANDS).error("no such scene")
    logging.getLogger(LIBRARY).info("object %s lost", "mug")
    logging.getLogger(LIBRARY).debug("not at this level")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "note: labels are estimates",
        "error: no such scene",
        f"info: {LIBRARY}: object mug lost",
    ]


def test_quiet_leaves_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(quiet=True)
    say("labels are estimates")
    logging.getLogger(LIBRARY).warning("frame dropped")
    logging.getLogger(LIBRARY).error("engine failed")
    assert capsys.readouterr().err == f"error: {LIBRARY}: engine failed\n"


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Every record is one line that a JSON reader takes, a traceback and line breaks in a message included."""
    set_up_logging(as_json=True)
    say("two\nlines")
    try:
        raise ValueError("bad pose")
    except ValueError:
        logging.getLogger(LIBRARY).exception("worker ended")
    note, failure = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (note["level"], note["logger"], note["message"]) == ("warning", COMMANDS, "two\nlines")
    stamp = datetime.fromisoformat(note["time"])
    assert abs((datetime.now(timezone.utc) - stamp).total_seconds()) < 3600.0
    assert failure["message"] == "worker ended"
    assert "ValueError: bad pose" in failure["traceback"]


def test_setting_up_again_replaces_what_was_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    set_up_logging(as_json=True)
    say("once")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["once"]


def test_the_library_sets_up_no_handler_of_its_own() -> None:
    assert not logging.getLogger("storm_edge").handlers


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colours_wanted()
    monkeypatch.setenv(name, value)
    assert not colours_wanted()
    set_up_logging()
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *given: False)  # as on a terminal
    say("plain")
    assert capsys.readouterr().err == "note: plain\n"
