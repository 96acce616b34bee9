"""`storm-edge data`: folders that the full networks are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storm_edge.choices import LengthUnit
from storm_edge.cli.console import progress_bars
from storm_edge.cli.description import DESCRIBED_VIEW, open_captioner, open_text_encoder
from storm_edge.cli.inputs import open_object, open_recording
from storm_edge.cli.options import CameraOption, DeviceOption, ForceOption, LabelsOption, ObjectsOption, UnitOption
from storm_edge.errors import ConfigError, SceneError, mismatch
from storm_edge.result_folder import check_replaceable

app = typer.Typer(help="Make what the full networks are trained on.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _data() -> None:
    """Make what the full networks are trained on."""


@app.command("prepare")
def prepare(
    dataset: Annotated[Path, typer.Argument(help="Folder of a BOP dataset.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    split: Annotated[str, typer.Option(help="Folder of scenes in the dataset.")] = "train_pbr",
    models: Annotated[
        Path | None, typer.Option(help="Folder of the models.", show_default="models/ of the dataset")
    ] = None,
    unit: Annotated[LengthUnit, typer.Option(help="Unit of length of the models.")] = LengthUnit.MM,
    scene: Annotated[
        list[int] | None, typer.Option(help="Only the scene of this number; may be given several times.")
    ] = None,
    camera: CameraOption = None,
    min_pixels: Annotated[int, typer.Option(min=1, help="Fewest visible pixels of a label that is kept.")] = 1,
    device: DeviceOption = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished folder.")] = False,
) -> None:
    """A split of a BOP dataset to a training folder of the segmenter: pictures, masks, and views of each object."""
    from storm_edge.kernels.device import require_device
    from storm_edge.training_data.prepare import PrepareOptions
    from storm_edge.training_data.prepare import prepare as run

    require_device(device)
    options = PrepareOptions(
        dataset=dataset,
        split=split,
        models=models or dataset / "models",
        unit=unit,
        scenes=scene,
        camera=camera,
        min_pixels=min_pixels,
        device=device,
    )
    with progress_bars() as report:
        made = run(options, out, resume=resume, progress=report)
    hidden = f"; {made.left_out} labels with less than {min_pixels} px visible left out" if made.left_out else ""
    typer.echo(f"{out}: {made.samples} masks of {made.objects} objects in {made.images} pictures{hidden}")


@app.command("views")
def views(
    models: Annotated[
        list[Path], typer.Argument(help="Model files, or a folder of them (obj_000001.ply).", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder; each model gets one in it.", show_default=False)],
    unit: Annotated[LengthUnit, typer.Option(help="Unit of length of the models.")] = LengthUnit.MM,
    device: DeviceOption = "cpu",
) -> None:
    """The sixteen views of each model that the full segmenter is given, as pictures. What is there stays."""
    from storm_edge.kernels.device import require_device
    from storm_edge.objects.mesh_io import FORMATS
    from storm_edge.training_data.view_pictures import NATURE, write_views

    require_device(device)
    found = [
        file
        for path in models
        for file in (sorted(p for p in path.iterdir() if p.suffix.lower() in FORMATS) if path.is_dir() else [path])
    ]
    for path in models:
        if not path.exists() or (path.is_dir() and not any(file.parent == path for file in found)):
            got = "no model" if path.is_dir() else "no such file"
            raise SceneError(mismatch(path, got, "a model file, or a folder with some", "check the path"))
    with progress_bars() as report:
        for done, file in enumerate(found):
            report("views", done / len(found))
            made = write_views(file, unit, out / file.stem, name=file.stem, device=device)
            typer.echo(f"{out / file.stem / NATURE}: {'rendered' if made else 'there already'}")


@app.command("describe")
def describe(
    folder: Annotated[
        Path, typer.Argument(help="Folder with render/: of data prepare, or a dataset's.", show_default=False)
    ],
    captioner: Annotated[
        str | None,
        typer.Option(
            help="What describes objects that have no words yet: transformers:MODEL (extra 'language'), or "
            "module:function."
        ),
    ] = None,
    text_encoder: Annotated[
        str | None, typer.Option(help="What turns words into vectors: transformers:MODEL, or module:function.")
    ] = None,
    view: Annotated[int, typer.Option(min=0, max=15, help="Which view is described.")] = DESCRIBED_VIEW,
    device: DeviceOption = "cpu",
) -> None:
    """Words of the objects of a folder (descriptions.json), and what a text encoder makes of them (contexts.json)."""
    from storm_edge.training_data.descriptions import describe_objects, encode_descriptions

    if captioner is None and text_encoder is None:
        raise ConfigError(mismatch("data describe", "nothing to do", "--captioner or --text-encoder", "give one"))
    with progress_bars() as report:
        if captioner is not None:
            made = describe_objects(folder, open_captioner(captioner, device=device), view=view, progress=report)
            for name, words in made.items():
                typer.echo(f"{name}: {words}")
        if text_encoder is not None:
            count = encode_descriptions(folder, open_text_encoder(text_encoder), progress=report)
            typer.echo(f"{folder}: {count[0]} descriptions as vectors of {count[1]} numbers")


@app.command("pairs")
def pairs(
    run: Annotated[
        Path, typer.Argument(help="Folder that `storm-edge track` left, or its poses.jsonl.", show_default=False)
    ],
    scene: Annotated[
        Path, typer.Option(help="The recording: a BOP scene folder or an MCAP file.", show_default=False)
    ],
    objects: ObjectsOption,
    out: Annotated[Path, typer.Option(help="Folder of the pairs.", show_default=False)],
    labels: LabelsOption = None,
    camera: CameraOption = None,
    unit: UnitOption = None,
    lag: Annotated[
        int,
        typer.Option(
            min=0,
            help="Beside the pose of a frame, that of so many frames before is cut, as of a track that stays behind; "
            "0 leaves it out.",
        ),
    ] = 15,
    every: Annotated[int, typer.Option(min=1, help="Make pairs in every how many frames.")] = 1,
    max_ratio: Annotated[
        float, typer.Option(min=0.0, help="A pose is right where its points are off by less, in diameters.")
    ] = 0.1,
    force: ForceOption = False,
) -> None:
    """Pairs of crops of a tracked recording, which the full verifier is trained and judged on (`eval tom`)."""
    from storm_edge.bop.scene import BopScene
    from storm_edge.evaluate.predictions import read_predictions
    from storm_edge.evaluate.scene_match import check_frames, check_run
    from storm_edge.training_data.track_pairs import PAIR_SET, PairOptions, make_pairs

    check_replaceable(out, PAIR_SET, force=force, inputs=[run, scene, *objects])
    found = read_predictions(run)
    recording = open_recording(scene, labels, camera)
    if isinstance(recording, BopScene):
        check_run(run, recording)
        check_frames({p.frame_id for p in found}, recording)
    with progress_bars() as report:
        bundles = [open_object(path, unit, view_subdivisions=0, report=report) for path in objects]
        made = make_pairs(
            recording,
            found,
            bundles,
            out,
            options=PairOptions(lag=lag, every=every, right_share=max_ratio),
            force=force,
            progress=lambda done, total: report("pairs", done / total),
        )
    typer.echo(f"{out}: {made.right} pairs of right poses, {made.lost} of lost ones, by {made.labelled_by}")
