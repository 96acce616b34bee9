"""`storm-edge export`: recipes to a bundle of networks in FP32, FP16 and INT8."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storm_edge.cli.console import progress_bars
from storm_edge.cli.options import ForceOption
from storm_edge.errors import BackendError, mismatch
from storm_edge.result_folder import check_replaceable


def command(
    recipes: Annotated[list[Path], typer.Argument(help="Export recipes, one per network.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the bundle.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name of the bundle; that of its folder by default.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Calibration set of storm-edge calib collect; no INT8 without.")
    ] = None,
    random_weights: Annotated[
        int | None, typer.Option(min=0, help="Seed of random weights in place of the recipes' sources.")
    ] = None,
    held_out: Annotated[int, typer.Option(min=4, help="Held-out pairs, crops or pictures per network, about.")] = 48,
    force: ForceOption = False,
) -> None:
    """Export networks to ONNX in every precision, and hold them to their gates."""
    try:
        from storm_edge.calib.sets import load_set
        from storm_edge.export.recipe import read_recipe
        from storm_edge.export.results import EXPORT, PAGE
        from storm_edge.export.run import ExportOptions, export_bundle
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "storm_edge":
            raise
        remedy = "pip install 'storm-edge[export]'"
        raise BackendError(mismatch("export", f"no module '{error.name}'", "the export extra", remedy)) from error
    check_replaceable(out, EXPORT, force=force, inputs=[*recipes, calibration])
    read = [read_recipe(path) for path in recipes]
    rows = None if calibration is None else load_set(calibration)
    with progress_bars() as report:
        result = export_bundle(
            read,
            out,
            name=name or out.name,
            calibration=rows,
            options=ExportOptions(random_weights=random_weights, held_out=held_out, force=force),
            progress=report,
        )
    for network in result.networks:
        for graph in network.graphs:
            cosine = f", cosine {min(x.cosine for x in graph.drift.values()):.5f}" if graph.drift else ""
            note = f"; {graph.note}" if graph.note else ""
            size = graph.size_bytes / 2**20
            typer.echo(f"{graph.graph:<16} {graph.precision:<10} {size:7.2f} MiB{cosine}{note}")
    typer.echo(f"{out}: {len(result.networks)} networks; {out / PAGE}")
