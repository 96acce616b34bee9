"""How the commands talk: results on stdout, all else on stderr; bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from storm_edge.cli.logging_setup import COMMANDS, PACKAGE, set_up_logging

if TYPE_CHECKING:
    from rich.table import Table

Report = Callable[[str, float], None]
LINE_EVERY_S = 15.0
"""How often progress is told where no bar can be drawn [s]."""
FILE_WIDTH = 80
"""Width of tables that go to a file or a pipe."""
_LOG = logging.getLogger(COMMANDS)


def say(note: str) -> None:
    """A note on stderr, one line; nothing with `--quiet`."""
    _LOG.warning("%s", note)


def fail_line(line: str) -> None:
    """The one line of an error on stderr."""
    if not logging.getLogger(PACKAGE).handlers:  # outside of a command
        set_up_logging()
    _LOG.error("%s", line)


def end_now(fault: Exception) -> None:
    """End the process with status 1 and the reason, from a watchdog thread while the main one hangs.

    Nothing is cleared away: a thread that does not come back cannot be waited for.
    """
    fail_line(str(fault))
    os._exit(1)


def end_at_once() -> NoReturn:
    """End the process with status 0 after all is closed and written.

    What libraries would tear down costs half a second of a core, of the two that a service has to end in.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Bars on stderr, one per stage, gone when the block ends; nothing with `--quiet`.

    Where stderr is no terminal that can draw bars, a line now and then says how far a stage is.
    The report takes the stage's name and its finished share in [0, 1].
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield progress_lines()
        return
    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    hidden = not _LOG.isEnabledFor(logging.WARNING)
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        yield report


def progress_lines(now: Callable[[], float] = time.monotonic) -> Report:
    """A report that is a note on stderr every `LINE_EVERY_S` seconds, and nothing where the work ends before.

    Args:
        now: The clock [s].
    """
    last_s = now()

    def report(stage: str, share: float) -> None:
        nonlocal last_s
        if now() - last_s >= LINE_EVERY_S:
            last_s = now()
            say(f"{stage}: {share:.0%} done")

    return report


def print_table(table: Table) -> None:
    """A rich table on stdout, as wide as the terminal; `FILE_WIDTH` columns where stdout is a file or a pipe.

    Its title is a line before it: rich would break it at the width of the table. Words in brackets are units.
    """
    from rich.console import Console

    title, table.title = table.title, None
    typer.echo(title)

    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH, markup=False)
    console.print(table)
