"""`storm-edge onboard`: a model file becomes an object bundle. Also how other commands take an object."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.cli.console import Report, progress_bars, say
from storm_edge.cli.description import OPTION, encoded
from storm_edge.cli.scenes import NO_NETWORKS
from storm_edge.errors import ConfigError, mismatch
from storm_edge.files import check_replaceable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.objects.onboard import Symmetries
    from storm_edge.pipeline.segment.segmenter import Segmenter

    Float32 = NDArray[np.float32]

MODELS_INFO = "models_info.json"
NO_SYMMETRY_OPTION = "none"
SHIPPED = "nano"
DESCRIPTION_OPTION = "--description"


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
    bundles: Annotated[
        list[str] | None,
        typer.Option(
            "--bundle",
            help="Network bundle whose segmenter looks at the object and stores what it keeps; may be given several"
            f" times, '{NO_NETWORKS}' for none. By default the shipped one if it has a segmenter.",
        ),
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="The object in words, for segmenters that take a description.")
    ] = None,
    text_encoder: Annotated[
        str | None, typer.Option(help="module:function that turns the description into a vector.")
    ] = None,
) -> None:
    """Turn a 3D model into an object bundle: mesh, size, symmetries, viewpoints, what networks keep of it."""
    from storm_edge.objects.bundle import DESCRIPTION
    from storm_edge.pipeline.segment.template_cache import make_template_embedding

    check_replaceable(out, marker=DESCRIPTION)
    segmenters = _segmenters(bundles)
    context = _context(description, text_encoder, list(segmenters.values()))
    with progress_bars() as report:
        bundle = make_object(model, unit, object_id=object_id, symmetry=symmetry, report=report)
        looks = []
        for done, (name, segmenter) in enumerate(segmenters.items()):
            report("networks", done / len(segmenters))
            takes = segmenter.context_length is not None
            looks.append(make_template_embedding(segmenter, bundle, name=name, context=context if takes else None))
    bundle.save(out, looks=looks)
    seen = f", seen by {', '.join(segmenters)}" if segmenters else ""
    typer.echo(
        f"{out}: object {bundle.object_id}, diameter {bundle.diameter_m * 1e3:.1f} mm,"
        f" {len(bundle.mesh.faces)} faces ({len(bundle.mesh_lod.faces)} in the coarse mesh),"
        f" {len(bundle.symmetries)} symmetries, {len(bundle.rotation_grid)} rotations{seen}"
    )


def _segmenters(names: list[str] | None) -> dict[str, Segmenter]:
    """By name of their bundles; each is opened, so that what is refused is refused before the work begins."""
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.pipeline.segment.maps import NETWORKS
    from storm_edge.pipeline.segment.segmenter import Segmenter

    if names is None:
        shipped = NetworkBundle.load(SHIPPED)
        return {shipped.name: Segmenter(shipped)} if shipped.networks.keys() >= set(NETWORKS) else {}
    opened = [NetworkBundle.load(name) for name in names if name != NO_NETWORKS]
    found = {networks.name: Segmenter(networks) for networks in opened}
    if len({segmenter.fingerprint for segmenter in found.values()}) < len(opened):
        got = ", ".join(networks.name for networks in opened)
        raise ConfigError(mismatch("--bundle", got, "bundles of different names and networks", "leave one out"))
    return found


def _context(description: str | None, encoder: str | None, segmenters: list[Segmenter]) -> Float32 | None:
    """The description as a vector, if there is one."""
    if (description is None) != (encoder is None):
        lacking = DESCRIPTION_OPTION if description is None else OPTION
        raise ConfigError(
            mismatch(lacking, "nothing", f"both {DESCRIPTION_OPTION} and {OPTION}, or neither", "give both")
        )
    if description is None or encoder is None:
        return None
    if not any(segmenter.context_length is not None for segmenter in segmenters):
        remedy = "leave it out, or give a bundle whose som_head has a context input"
        raise ConfigError(mismatch(DESCRIPTION_OPTION, "one", "none: no segmenter here takes a description", remedy))
    return encoded(description, encoder)


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
        raise ConfigError(mismatch("--unit", "nothing", expected, "state the unit or give an object bundle"))
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
    from storm_edge.bop.scene import read_models_info
    from storm_edge.objects.bundle import number_in
    from storm_edge.objects.onboard import Symmetries

    path = model.parent / MODELS_INFO
    number = number_in(object_id)
    info = read_models_info(path).get(number) if number is not None and path.is_file() else None
    if info is None or not (info.symmetries_discrete or info.symmetries_continuous):
        return Symmetries()
    say(f"{path} lists symmetries of object {number}; they are used (--symmetry {NO_SYMMETRY_OPTION} to ignore them)")
    return Symmetries(discrete=info.symmetries_discrete, continuous=info.symmetries_continuous)
