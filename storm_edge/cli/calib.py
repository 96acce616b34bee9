"""`storm-edge calib`: calibration sets for quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.cli.console import progress_bars
from storm_edge.cli.inputs import open_object, open_scene
from storm_edge.cli.options import NANO, ForceOption, UnitOption
from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.calib.collect import CalibrationRecording

app = typer.Typer(help="Calibration sets for INT8.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _calib() -> None:
    """Calibration sets for INT8."""


@app.command("collect")
def collect(
    out: Annotated[Path, typer.Option(help="Folder of the set.", show_default=False)],
    scenes: Annotated[list[Path] | None, typer.Argument(help="BOP scene folders.", show_default=False)] = None,
    objects: Annotated[
        list[Path] | None,
        typer.Option("--object", help="Object bundle or model file, for every scene; may be given several times."),
    ] = None,
    unit: UnitOption = None,
    synthetic: Annotated[int, typer.Option(min=0, help="Generated recordings to run over as well.")] = 0,
    bundle: Annotated[str, typer.Option(help="Network bundle to calibrate, in FP32: a name or a folder.")] = NANO,
    rows: Annotated[int, typer.Option(min=1, help="Rows kept of each graph.")] = 128,
    force: ForceOption = False,
) -> None:
    """Run the pipeline over recordings and keep what reaches the engines."""
    from storm_edge.calib.collect import CalibrationRecording
    from storm_edge.calib.collect import collect as run
    from storm_edge.calib.sets import CALIBRATION
    from storm_edge.calib.synthetic import synthetic_recordings
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.result_folder import check_replaceable

    if not scenes and not synthetic:
        remedy = "give BOP scenes with --object, or --synthetic 16"
        raise ConfigError(mismatch("calib collect", "no recording", "some to run over", remedy))
    if scenes and not objects:
        raise ConfigError(mismatch("--object", "nothing", "the objects of the scenes", "name them"))
    check_replaceable(out, CALIBRATION, force=force, inputs=[*(scenes or []), *(objects or [])])
    networks = NetworkBundle.load(bundle)
    with progress_bars() as report:
        given: list[CalibrationRecording] = []
        if scenes:
            items = [open_object(path, unit, report=report) for path in objects or []]
            given = [
                CalibrationRecording(scene=open_scene(path, None), objects=items, name=path.name) for path in scenes
            ]
        with synthetic_recordings(synthetic) as made:
            found = run(
                [*given, *made],
                networks,
                out,
                most=rows,
                force=force,
                progress=lambda done, total: report("collect", done / total),
            )
    for graph in sorted(found.onnx_sha256):
        typer.echo(f"{graph:<16} {found.count(graph)} rows")
    typer.echo(f"{out}: of bundle {found.bundle}, sha256 {found.sha256[:12]}")
