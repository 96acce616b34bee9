"""The `storm-edge` command: its subcommands, and the one place where an error becomes a line and an exit status.

Each command parses, calls one function and prints its result. Libraries that take time to import are imported inside
the commands, so that `storm-edge --help` answers at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer

from storm_edge import __version__
from storm_edge.cli import (
    bench,
    build,
    bundle,
    calib,
    config,
    ctl,
    data,
    demo,
    doctor,
    estimate,
    evaluate,
    export,
    merge,
    onboard,
    segment,
    track,
    train,
)
from storm_edge.cli import run as run_command
from storm_edge.cli.console import fail_line
from storm_edge.cli.logging_setup import set_up_logging
from storm_edge.cli.second_signal import ended_by_second_signal
from storm_edge.errors import ConfigError, StormEdgeError, mismatch
from storm_edge.thread_limit import limit_threads

app = typer.Typer(
    name="storm-edge",
    help="Find, follow and re-find an object in 6D from one 3D model, on the edge.",
    no_args_is_help=True,
    rich_markup_mode=None,  # it would read the brackets of "[mm]" as its own and drop them
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"storm-edge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log what happens; -vv logs all of it.")
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Log errors alone: no notes, no progress bars.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Most threads of ONNX Runtime, OpenCV, BLAS and searches; each decides by default."),
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines of JSON, for services.")] = False,
) -> None:
    """Find, follow and re-find an object in 6D from one 3D model, on the edge."""
    if verbose and quiet:
        raise ConfigError(mismatch("--quiet", "--verbose as well", "one of the two", "leave one out"))
    set_up_logging(verbose=verbose, quiet=quiet, as_json=log_json)
    if threads is not None:
        limit_threads(threads)


app.command("doctor")(doctor.command)
app.command("demo")(demo.command)
app.command("onboard")(onboard.command)
app.command("segment")(segment.command)
app.command("track")(track.command)
app.command("estimate")(estimate.command)
app.command("merge")(merge.command)
app.command("run")(run_command.command)
app.add_typer(ctl.app, name="ctl")
app.command("export")(export.command)
app.command("build")(build.command)
app.command("train")(train.command)
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(bundle.app, name="bundle")
app.add_typer(evaluate.app, name="eval")
app.add_typer(calib.app, name="calib")
app.add_typer(config.app, name="config")


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 1 an error in one line, 2 options that typer does not understand.

    A bug is not caught: it shows its traceback. Ctrl-C and SIGTERM end the command as an error would, so that what
    it was writing is cleared away.
    """
    signal.signal(signal.SIGTERM, _stop)
    set_up_logging()  # for errors before the options are read
    try:
        with ended_by_second_signal():
            app(args=None if arguments is None else list(arguments))
    except StormEdgeError as error:
        _fail(str(error))
    except OSError as error:
        remedy = "check the path, its permissions and the free space"
        _fail(mismatch(error.filename or "file", error.strerror or error, "a path that can be used", remedy))
    except KeyboardInterrupt:
        typer.secho("interrupted", err=True)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _fail(line: str) -> NoReturn:
    fail_line(line)
    sys.exit(1)
