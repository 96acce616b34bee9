"""How the commands talk: results on stdout, everything else on stderr, progress bars only on a terminal."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storm_edge.cli.logging_setup import COMMANDS, PACKAGE, set_up_logging

Report = Callable[[str, float], None]
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


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Bars on stderr, one per stage, gone when the block ends; nothing where stderr is not a terminal or
    with `--quiet`.

    The report takes the stage's name and its finished share in [0, 1].
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    hidden = not console.is_terminal or not _LOG.isEnabledFor(logging.WARNING)
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        yield report


def print_table(table: object) -> None:
    """A rich table on stdout; wide enough to keep every column where stdout is a file or a pipe."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
