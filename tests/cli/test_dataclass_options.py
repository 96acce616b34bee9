from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from storm_edge.cli.dataclass_options import takes


@dataclass(frozen=True, kw_only=True)
class Base:
    out: Annotated[Path, typer.Argument(help="Where.")]
    rate: Annotated[float | None, typer.Option(help="Rate [Hz].")] = None


@dataclass(frozen=True, kw_only=True)
class Wider(Base):
    quick: Annotated[bool, typer.Option("--quick", help="Less.")] = False
    names: Annotated[list[str] | None, typer.Option("--name", help="Which.")] = None


def given(*arguments: str) -> tuple[int, list[Wider]]:
    app, seen = typer.Typer(add_completion=False), []

    @app.command()
    @takes(Wider)
    def command(options: Wider) -> None:
        """Do it."""
        seen.append(options)

    with pytest.raises(SystemExit) as ended:
        app(args=list(arguments))
    return int(ended.value.code or 0), seen


def test_fields_become_arguments_and_options() -> None:
    status, seen = given("folder", "--rate", "30", "--name", "a", "--name", "b")
    assert status == 0
    assert seen == [Wider(out=Path("folder"), rate=30.0, names=["a", "b"])]


def test_defaults_are_those_of_the_fields() -> None:
    _, (options,) = given("folder")
    assert (options.rate, options.quick) == (None, False)


def test_a_field_without_a_default_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    status, seen = given("--quick")
    assert (status, seen) == (2, [])
    assert "Missing argument" in capsys.readouterr().err


def test_the_function_can_be_called_with_the_fields() -> None:
    command = takes(Base)(lambda options: options)
    assert command(out=Path("x")) == Base(out=Path("x"))
    assert list(inspect.signature(command).parameters) == ["out", "rate"]
