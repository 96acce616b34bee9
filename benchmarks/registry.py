"""Which benchmarks there are. A case is a module of `benchmarks.cases` with one function of that module's name.

The function takes one options value, prints its table, and returns an `Outcome`; the command line, the load of the
machine and the record are the same for all of them and stand in `benchmarks.__main__`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from benchmarks import cases
from benchmarks.record import RECORDS
from storm_edge.errors import ConfigError, mismatch


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a case found."""

    summary: Mapping[str, Any]
    """The figures of the record."""
    rows: Sequence[Mapping[str, Any]] = ()
    """What they are made of; left outside git."""
    record: str | None = None
    """Name of the record where it depends on the machine; None for the case's own."""


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """The option of every case that leaves a record."""

    record: Annotated[
        str | None, typer.Option(help="Name of the record, where it is not the case's own.", show_default=False)
    ] = None


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(RecordOptions):
    """Options of cases that run networks."""

    bundle: Annotated[str, typer.Option(help="Network bundle: a name or a folder.")] = "nano"


@dataclass(frozen=True, kw_only=True)
class SetOptions(NetworkOptions):
    """Options of cases over generated recordings."""

    sets: Annotated[Path, typer.Argument(help="Folder of the generated recordings; what is missing is made.")]


@dataclass(frozen=True, kw_only=True)
class RecordingOptions(SetOptions):
    """Options of cases over some of the recordings with a loss."""

    count: Annotated[int, typer.Option(help="How many recordings.")] = 20
    first: Annotated[int, typer.Option(help="Number of the first recording.")] = 0


Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A registered benchmark."""

    name: str
    """As `run` takes it."""
    function: Callable[[Any], Outcome | None]
    """Does the work."""
    options: type[Any]
    """What it takes."""
    record: str | None
    """Name of its record; None where it leaves none."""
    timing: bool
    """Whether its figures are times, so that a busy machine spoils them."""

    @property
    def about(self) -> str:
        """The first line of what its module says of itself."""
        return (sys.modules[self.function.__module__].__doc__ or "").strip().splitlines()[0]

    @property
    def is_recorded(self) -> bool:
        """Whether anybody has run it and kept the record."""
        return self.record is not None and bool(list(RECORDS.glob(f"{self.record}.json")))


_CASES: dict[str, Case] = {}

Work = Callable[[Options], Outcome | None]


def case(*, record: str | None, timing: bool = False) -> Callable[[Work[Options]], Work[Options]]:
    """Register a function as the case of its name.

    Args:
        record: Name of the record, ``*`` in it for what the machine decides; None for a case that leaves none.
        timing: Whether the figures are times.
    """

    def register(function: Work[Options]) -> Work[Options]:
        name = function.__name__
        options = get_type_hints(function)["options"]
        _CASES[name] = Case(name=name, function=function, options=options, record=record, timing=timing)
        return function

    return register


def case_names() -> list[str]:
    """Names of all cases, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(cases.__path__))


def load_case(name: str) -> Case:
    """Import one case.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in case_names():
        raise ConfigError(mismatch("case", repr(name), f"one of {', '.join(case_names())}", "see `benchmarks list`"))
    importlib.import_module(f"{cases.__name__}.{name}")
    return _CASES[name]
