"""Where the program's log goes: stderr, as lines for people or, with `--log-json`, as JSON for services.

The library logs to loggers named after its modules (`storm_edge.live.session`, ...) and sets up nothing; only the
command line does, here. Notes and errors of the commands themselves are records of `COMMANDS`.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone

import typer

PACKAGE = "storm_edge"
COMMANDS = "storm_edge.cli"
"""Logger of what a command tells its user: a warning is printed as a note, an error as the line it ends with."""
_COLOURS = {logging.WARNING: typer.colors.YELLOW, logging.ERROR: typer.colors.RED, logging.CRITICAL: typer.colors.RED}


def colours_wanted() -> bool:
    """Whether the user lets terminals be coloured: not with `NO_COLOR`, and not on a dumb terminal."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Handler(logging.Handler):
    """Writes each record as one line to stderr, coloured where that is a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            plain = isinstance(self.formatter, JsonFormatter) or not colours_wanted()
            colour = None if plain else _COLOURS.get(record.levelno)
            line = self.format(record)
            typer.echo(line if colour is None else typer.style(line, fg=colour), err=True)
        except Exception:
            self.handleError(record)


class LineFormatter(logging.Formatter):
    """``note: ...`` and ``error: ...`` from a command, ``warning: storm_edge.live.session: ...`` from the library."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; a traceback follows it where there is one."""
        level = record.levelname.lower()
        if record.name == COMMANDS:
            head = {logging.WARNING: "note"}.get(record.levelno, level)
        else:
            head = f"{level}: {record.name}"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{head}: {record.getMessage()}{trace}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``, perhaps ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, tz=timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def level_of(*, verbose: int, quiet: bool) -> int:
    """Level of the log: warnings and worse; with ``-v`` what happens, with ``-vv`` all of it, with ``-q`` errors."""
    if quiet:
        return logging.ERROR
    return {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)


def set_up_logging(*, verbose: int = 0, quiet: bool = False, as_json: bool = False) -> None:
    """Send the package's log to stderr; replaces what an earlier call set up.

    Args:
        verbose: How often ``-v`` was given.
        quiet: Whether errors alone are wanted.
        as_json: Whether each line is JSON.
    """
    logger = logging.getLogger(PACKAGE)
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Handler)]:
        logger.removeHandler(handler)
    handler = _Handler()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    logger.addHandler(handler)
    logger.setLevel(level_of(verbose=verbose, quiet=quiet))
