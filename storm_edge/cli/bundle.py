"""`storm-edge bundle`: network bundles of official files that a user has."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from storm_edge.cli.console import progress_bars, say
from storm_edge.cli.options import ForceOption
from storm_edge.errors import BackendError, ConfigError, mismatch
from storm_edge.result_folder import check_replaceable

app = typer.Typer(
    help="Make network bundles of the official networks' files.", no_args_is_help=True, rich_markup_mode=None
)


class _Bundle(str, Enum):
    """Bundles that can be made."""

    FULL = "full"


@app.callback()
def _bundle() -> None:
    """Make network bundles of the official networks' files."""


@app.command("make")
def make(
    which: Annotated[_Bundle, typer.Argument(help="Which bundle: full.", show_default=False)],
    weights: Annotated[Path, typer.Option(help="Folder with the official files.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the bundle.", show_default="engines/full")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="A network to leave out: refine, score, som, tom or sam2; may be given several times."),
    ] = None,
    recipes: Annotated[Path, typer.Option(help="Folder of the export recipes.")] = Path("export"),
    calibration: Annotated[
        Path | None, typer.Option(help="Calibration set of storm-edge calib collect; no INT8 without.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what is there and what is lacking; make nothing.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Find the official files of a bundle, check them, export them; say what is lacking, and where it is from."""
    try:
        from storm_edge.calib.sets import load_set
        from storm_edge.export.full_bundle import (
            OFFICIAL,
            check_weights,
            describe_network,
            find_weights,
            recipes_of,
            require_all,
        )
        from storm_edge.export.results import EXPORT, PAGE
        from storm_edge.export.run import ExportOptions, export_bundle
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "storm_edge":
            raise
        remedy = "pip install 'storm-edge[export]'"
        raise BackendError(
            mismatch("bundle make", f"no module '{error.name}'", "the export extra", remedy)
        ) from error
    target, left_out = out or Path("engines") / which.value, without or []
    for network in left_out:
        if network not in OFFICIAL:
            expected = f"one of {', '.join(OFFICIAL)}"
            raise ConfigError(mismatch("--without", network, expected, "correct that name"))
    check_replaceable(target, EXPORT, force=force, inputs=[weights, calibration])
    found = find_weights(weights, without=left_out)
    for item in found:
        typer.echo(describe_network(item))
    require_all(found, weights)
    read = recipes_of(found, weights, recipes)
    check_weights(read)
    if check:
        return
    rows = None if calibration is None else load_set(calibration)
    with progress_bars() as report:
        result = export_bundle(
            read,
            target,
            name=which.value,
            calibration=rows,
            options=ExportOptions(force=force),
            progress=report,
        )
    if left_out:
        say(f"{target}: without {', '.join(left_out)}; storm-edge doctor --bundle {target} says what is asked of it")
    typer.echo(f"{target}: {len(result.networks)} networks; {target / PAGE}")
