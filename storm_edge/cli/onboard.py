"""`storm-edge onboard`: a model file becomes an object bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import LengthUnit
from storm_edge.cli.console import progress_bars, say
from storm_edge.cli.description import CAPTIONER, DESCRIBED_VIEW, OPTION, open_captioner, open_text_encoder
from storm_edge.cli.inputs import MODELS_INFO, NO_SYMMETRY, make_object
from storm_edge.cli.options import NANO, NO_NETWORKS, ForceOption
from storm_edge.errors import ConfigError, mismatch
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storm_edge.pipeline.segment.segmenter import Segmenter

    Float32 = NDArray[np.float32]

DESCRIPTION_OPTION = "--description"


def command(
    model: Annotated[Path, typer.Argument(help="PLY, OBJ, GLB or STL file.", show_default=False)],
    unit: Annotated[LengthUnit, typer.Option(help="Unit of length in the file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write the object bundle to.", show_default=False)],
    object_id: Annotated[
        str | None, typer.Option("--id", help="Name of the object; the file's name without suffix by default.")
    ] = None,
    symmetry: Annotated[
        list[str] | None,
        typer.Option(
            help="Axis of revolution (z), or equal turns about it (z:2), through the middle of the model; may be"
            f" given several times. '{NO_SYMMETRY}' for none. By default what a {MODELS_INFO} beside the"
            " model says.",
        ),
    ] = None,
    bundles: Annotated[
        list[str] | None,
        typer.Option(
            "--bundle",
            help="Network bundle whose segmenter embeds the object, to be stored with it; may be given several"
            f" times, '{NO_NETWORKS}' for none. By default the shipped one if it has a segmenter.",
        ),
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="The object in words, for segmenters that take a description.")
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            help="What describes the object by a view of it: transformers:MODEL (a folder or a name of its hub; "
            "extra 'language'), or module:function."
        ),
    ] = None,
    text_encoder: Annotated[
        str | None,
        typer.Option(help="What turns the description into a vector: transformers:MODEL, or module:function."),
    ] = None,
    parity: Annotated[
        bool,
        typer.Option(
            "--parity",
            help="Keep the model as upstream's programs load it as well, and its views as they render them, for"
            " --schedule parity.",
        ),
    ] = False,
    force: ForceOption = False,
) -> None:
    """Turn a 3D model into an object bundle: mesh, size, symmetries, viewpoints, template embeddings."""
    from storm_edge.objects.bundle_files import OBJECT
    from storm_edge.pipeline.segment.template_cache import make_template_embedding

    check_replaceable(out, OBJECT, force=force, inputs=[model])
    segmenters = _segmenters(bundles, parity=parity)
    if captioner is not None:
        if description is not None:
            got = f"{DESCRIPTION_OPTION} as well"
            raise ConfigError(mismatch(CAPTIONER, got, "one of the two", "leave one out"))
        description = _described(model, unit, captioner)
    context = _context(description, text_encoder, list(segmenters.values()))
    with progress_bars() as report:
        bundle = make_object(model, unit, object_id=object_id, symmetry=symmetry, as_upstream=parity, report=report)
        embeddings = []
        for done, (name, segmenter) in enumerate(segmenters.items()):
            report("networks", done / len(segmenters))
            takes = segmenter.context_length is not None
            embeddings.append(
                make_template_embedding(segmenter, bundle, name=name, context=context if takes else None)
            )
    bundle = replace(bundle, description=description)
    bundle.save(out, embeddings=embeddings, force=force)
    embedded = f", embedded by {', '.join(segmenters)}" if segmenters else ""
    typer.echo(
        f"{out}: object {bundle.object_id}, diameter {bundle.diameter_m * 1e3:.1f} mm,"
        f" {len(bundle.mesh.faces)} faces ({len(bundle.mesh_lod.faces)} in the coarse mesh),"
        f" {len(bundle.symmetries)} symmetries, {len(bundle.rotation_grid)} rotations{embedded}"
    )


def _segmenters(names: list[str] | None, *, parity: bool) -> dict[str, Segmenter]:
    """By name of their bundles; each is opened, so that what is refused is refused before the work begins.

    For parity STORM's own are there twice: with the views of either kind.
    """
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.pipeline.segment.config import FullSomConfig, SegmentConfig
    from storm_edge.pipeline.segment.maps import NETWORKS
    from storm_edge.pipeline.segment.segmenter import Segmenter

    if names is None:
        shipped = NetworkBundle.load(NANO)
        return {shipped.name: Segmenter(shipped)} if shipped.networks.keys() >= set(NETWORKS) else {}
    opened = [NetworkBundle.load(name) for name in names if name != NO_NETWORKS]
    found = {networks.name: Segmenter(networks) for networks in opened}
    if len({segmenter.fingerprint for segmenter in found.values()}) < len(opened):
        got = ", ".join(networks.name for networks in opened)
        raise ConfigError(mismatch("--bundle", got, "bundles of different names and networks", "leave one out"))
    if parity:
        views = SegmentConfig(full_som=FullSomConfig(views="upstream"))
        upstream = [networks for networks in opened if networks.tier == "full"]
        found |= {f"{networks.name}, upstream's views": Segmenter(networks, config=views) for networks in upstream}
    return found


def _described(model: Path, unit: LengthUnit, captioner: str) -> str:
    """What a captioner says of a view of the model."""
    from storm_edge.objects.mesh_io import load_mesh
    from storm_edge.training_data.view_pictures import rendered_views

    say_of = open_captioner(captioner)
    words = say_of(rendered_views(load_mesh(model, unit))[DESCRIBED_VIEW])
    say(f"{model.name}: described as '{words}'")
    return words


def _context(description: str | None, encoder: str | None, segmenters: list[Segmenter]) -> Float32 | None:
    """The description as a vector, if there is one; words alone are kept for who reads them."""
    takes = any(segmenter.context_length is not None for segmenter in segmenters)
    if (description is None) != (encoder is None) and (takes or description is None):
        lacking = DESCRIPTION_OPTION if description is None else OPTION
        raise ConfigError(
            mismatch(lacking, "nothing", f"both {DESCRIPTION_OPTION} and {OPTION}, or neither", "give both")
        )
    if description is None or encoder is None:
        return None
    if not takes:
        remedy = "leave it out, or give a bundle whose som_head has a context input"
        raise ConfigError(mismatch(DESCRIPTION_OPTION, "one", "none: no segmenter here takes a description", remedy))
    return open_text_encoder(encoder)(description)
