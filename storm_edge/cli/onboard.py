"""`storm-edge onboard`: a model file becomes an object bundle. Also how other commands take an object."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.cli.console import Report, progress_bars, say
from storm_edge.errors import ConfigError, bad
from storm_edge.files import check_replaceable

if TYPE_CHECKING:
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.objects.onboard import Symmetries

MODELS_INFO = "models_info.json"
NO_SYMMETRY_OPTION = "none"


class Unit(str, Enum):
    """Unit of length in a model file."""

    MM = "mm"
    M = "m"


def command(
    model: Annotated[Path, typer.Argument(help="PLY, OBJ, GLB or STL file.", show_default=False)],
    unit: Annotated[Unit, typer.Option(help="Unit of length in the file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write the object bundle to.", show_default=False)],
    object_id: Annotated[
        str | None, typer.Option("--id", help="Name of the object; the file's name without suffix by default.")
    ] = None,
    symmetry: Annotated[
        list[str] | None,
        typer.Option(
            help="Axis of revolution (z), or equal turns about it (z:2), through the middle of the model; may be"
            f" given several times. '{NO_SYMMETRY_OPTION}' for none. By default what a {MODELS_INFO} beside the"
            " model says.",
        ),
    ] = None,
) -> None:
    """Turn a 3D model into an object bundle: mesh, size, symmetries, viewpoints."""
    from storm_edge.objects.bundle import DESCRIPTION

    check_replaceable(out, marker=DESCRIPTION)
    with progress_bars() as report:
        bundle = make_object(model, unit, object_id=object_id, symmetry=symmetry, report=report)
    bundle.save(out)
    typer.echo(
        f"{out}: object {bundle.object_id}, diameter {bundle.diameter_m * 1e3:.1f} mm,"
        f" {len(bundle.mesh.faces)} faces ({len(bundle.mesh_lod.faces)} in the coarse mesh),"
        f" {len(bundle.symmetries)} symmetries, {len(bundle.rotation_grid)} rotations"
    )


def make_object(
    model: Path,
    unit: Unit,
    *,
    object_id: str | None = None,
    symmetry: list[str] | None = None,
    view_subdivisions: int = 3,
    report: Report,
) -> ObjectBundle:
    """Onboard ``model`` with the symmetries the user stated, or else those of the `models_info.json` beside it."""
    from storm_edge.objects.onboard import onboard

    symmetries = _stated(symmetry) if symmetry else _listed(model, object_id or model.stem)
    return onboard(
        model,
        unit.value,
        object_id=object_id,
        symmetries=symmetries,
        view_subdivisions=view_subdivisions,
        say=say,
        progress=report,
    )


def open_object(path: Path, unit: Unit | None, *, view_subdivisions: int = 3, report: Report) -> ObjectBundle:
    """The object of a bundle folder, or of a model file that is onboarded on the spot.

    Raises:
        ConfigError: A model file without a unit.
    """
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.objects.mesh_io import FORMATS

    if path.suffix.lower() not in FORMATS:
        return ObjectBundle.load(path)
    if unit is None:
        expected = "--unit mm or --unit m beside a model file"
        raise ConfigError(bad("--unit", "nothing", expected, "state the unit or give an object bundle"))
    return make_object(path, unit, view_subdivisions=view_subdivisions, report=report)


def _stated(options: list[str]) -> Symmetries:
    """The symmetries of `--symmetry` options."""
    from storm_edge.objects.onboard import Symmetries, symmetry_about

    if options == [NO_SYMMETRY_OPTION]:
        return Symmetries()
    parts = [symmetry_about(text) for text in options]
    return Symmetries(
        discrete=tuple(motion for part in parts for motion in part.discrete),
        continuous=tuple(axis for part in parts for axis in part.continuous),
        about_centre=True,
    )


def _listed(model: Path, object_id: str) -> Symmetries:
    """The symmetries that a `models_info.json` beside the model lists for it."""
    from storm_edge.data.bop import read_models_info
    from storm_edge.objects.bundle import number_in
    from storm_edge.objects.onboard import Symmetries

    path = model.parent / MODELS_INFO
    number = number_in(object_id)
    info = read_models_info(path).get(number) if number is not None and path.is_file() else None
    if info is None or not (info.symmetries_discrete or info.symmetries_continuous):
        return Symmetries()
    say(f"{path} lists symmetries of object {number}; they are used (--symmetry {NO_SYMMETRY_OPTION} to ignore them)")
    return Symmetries(discrete=info.symmetries_discrete, continuous=info.symmetries_continuous)
