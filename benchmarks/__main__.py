"""Run a benchmark by its name, and say which there are.

    python -m benchmarks list
    python -m benchmarks run NAME [SETS] [options]       (`run NAME --help` has the options)
    python -m benchmarks digests SETS [options]

A case that takes times refuses to begin, and to leave a record, on a machine that is busy with other things.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from benchmarks import digests
from benchmarks.record import LoadWatch, write_record
from benchmarks.registry import Case, case_names, load_case
from storm_edge.cli.dataclass_options import takes
from storm_edge.errors import ConfigError, StormEdgeError, mismatch


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say; an error of the package is one line and exit status 1."""
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(__doc__)
        elif arguments[0] == "digests":
            digests.main(arguments[1:])
        elif list(arguments) == ["list"]:
            print_cases()
        elif arguments[0] == "run" and len(arguments) > 1:
            name = arguments[1]
            app = command_of(load_case(name), arguments)
            app(args=list(arguments[2:]), prog_name=f"python -m benchmarks run {name}")
        else:
            expected = "list, run NAME or digests"
            raise ConfigError(mismatch("benchmarks", " ".join(arguments), expected, "see `python -m benchmarks -h`"))
    except StormEdgeError as error:
        sys.exit(f"error: {error}")


def print_cases() -> None:
    """A line per case: its name, whether it takes times, its record, what it measures."""
    for name in case_names():
        found = load_case(name)
        kind = "times" if found.timing else ""
        record = found.record or "-"
        recorded = "" if found.record is None or found.is_recorded else " (never recorded)"
        print(f"{name:<16} {kind:<6} {record + recorded:<28} {found.about}")


def command_of(case: Case, arguments: Sequence[str]) -> typer.Typer:
    """The command line of one case."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @takes(case.options)
    def command(options: object) -> None:
        execute(case, options, arguments)

    app.command(help=case.function.__doc__)(command)
    return app


def execute(case: Case, options: object, arguments: Sequence[str]) -> None:
    """Run a case and write its record.

    Args:
        case: Which one.
        options: A value of its options.
        arguments: The arguments of the command that reproduces it.
    """
    watch = LoadWatch(timing=case.timing)
    outcome = case.function(options)
    if outcome is None or case.record is None:
        return
    load = watch.end()
    name = getattr(options, "record", None) or outcome.record or case.record
    print(write_record(name, outcome.summary, command=arguments, load=load, rows=outcome.rows))


if __name__ == "__main__":
    main(sys.argv[1:])
