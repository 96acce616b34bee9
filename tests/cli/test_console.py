"""What is said beside the results: progress where no bar can be drawn, and tables that fit."""

from __future__ import annotations

import pytest
from rich.table import Table

from storm_edge.cli.console import LINE_EVERY_S, print_table, progress_lines
from storm_edge.cli.logging_setup import set_up_logging


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    now_s = 0.0
    report = progress_lines(now=lambda: now_s)
    for step in range(1000):
        now_s = step * 2.5 * LINE_EVERY_S / 1000
        report("track", step / 1000)
    assert capsys.readouterr().err.splitlines() == ["note: track: 40% done", "note: track: 80% done"]


def test_units_in_brackets_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="errors")
    table.add_column("stage [ms]")
    table.add_row("ADD, median [mm]")
    print_table(table)
    printed = capsys.readouterr().out
    assert "stage [ms]" in printed
    assert "ADD, median [mm]" in printed
