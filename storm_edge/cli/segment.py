"""`storm-edge segment`: masks of objects in a recorded scene, or in all scenes of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend, Framing
from storm_edge.cli.config import open_config
from storm_edge.cli.console import progress_bars
from storm_edge.cli.dataset_run import (
    DatasetRequest,
    Frames,
    SceneTask,
    refuse_dataset_options,
    require_objects,
    run_dataset,
    run_settings,
)
from storm_edge.cli.inputs import open_instances, open_networks
from storm_edge.cli.options import (
    LABELS,
    NANO,
    BackendOption,
    CameraOption,
    ConfigOfProfileOption,
    DeviceOption,
    EnginesOption,
    ForceOption,
    InstancesOption,
    ObjectsOfAnyOption,
    Sam2Option,
    ScheduleOption,
    SetOption,
    ShardOption,
    SplitOption,
    UnitOption,
)
from storm_edge.cli.schedules import check_and_say
from storm_edge.cli.segment_choices import segment_config, segmented_recording
from storm_edge.cli.segment_picture import (
    DepthOption,
    DepthScaleOption,
    ImageOption,
    IntrinsicsOption,
    Picture,
    ViewsOption,
    check_picture,
    segment_colours,
)
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.replay.scene import Scene
    from storm_edge.replay.segment_scene import SegmentRun


def command(
    out: Annotated[Path, typer.Option(help="Folder to write masks, summary and pictures to.", show_default=False)],
    scene: Annotated[
        Path | None,
        typer.Argument(
            help="BOP scene folder, or a BOP dataset folder for all its scenes; or --image.", show_default=False
        ),
    ] = None,
    objects: ObjectsOfAnyOption = None,
    image: ImageOption = None,
    views: ViewsOption = None,
    depth: DepthOption = None,
    depth_scale: DepthScaleOption = 1.0,
    intrinsics: IntrinsicsOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Probability from which a pixel may be the object's; 0.5 by default."),
    ] = None,
    instances: InstancesOption = 1,
    unit: UnitOption = None,
    camera: CameraOption = None,
    bundle: Annotated[str, typer.Option(help="Network bundle: a name or a folder.")] = NANO,
    colour: Annotated[
        bool, typer.Option("--colour", help="Segment by colours and depth alone; needs no network.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Keep the segmenter's best mask as it is, without registering it.")
    ] = False,
    sam2: Sam2Option = False,
    framing: Annotated[
        Framing | None,
        typer.Option(help="How STORM's segmenter is shown an image; 'upstream' repeats its misplaced masks."),
    ] = None,
    every: Annotated[int, typer.Option(help="Segment every how many images.")] = 1,
    device: DeviceOption = "cpu",
    backend: BackendOption = Backend.ONNXRUNTIME,
    engines: EnginesOption = ENGINE_FOLDER,
    pictures: Annotated[bool, typer.Option(help="Draw overlays.")] = True,
    schedule: ScheduleOption = None,
    profile: ConfigOfProfileOption = None,
    settings: SetOption = None,
    split: SplitOption = None,
    shard: ShardOption = None,
    force: ForceOption = False,
) -> None:
    """Find objects in the images of a scene or a dataset, or in a picture, by their models alone; leave masks."""
    from storm_edge.bop.dataset import is_dataset
    from storm_edge.engines.contract import EngineOptions
    from storm_edge.kernels.device import require_device
    from storm_edge.pipeline.segment.segmenter import Segmenter
    from storm_edge.pipeline.segment.template_cache import load_template_embedding
    from storm_edge.replay.result_kinds import SEGMENT
    from storm_edge.replay.segment_picture import PictureOptions
    from storm_edge.replay.segment_scene import SegmentSceneOptions, segment_scene

    # All that can be refused is refused before the work begins.
    picture = None
    if image is not None:
        picture = Picture(image=image, depth=depth, depth_scale=depth_scale, intrinsics=intrinsics, views=views)
    check_picture(scene, picture, views)
    whole = scene is not None and is_dataset(scene)
    if not whole:
        objects = require_objects(objects) if picture is None else objects or []
        refuse_dataset_options(split, shard)
        check_replaceable(out, SEGMENT, force=force, inputs=[scene, image, views, *objects, profile])
    tree = open_config(profile, settings, schedule=schedule, bundle=None if colour and not sam2 else bundle)
    require_device(device)
    recording = segmented_recording(scene, picture, camera, whole=whole)
    networks = open_networks(bundle, backend=backend, engines=engines, device=device) if sam2 or not colour else None
    config = segment_config(tree.segment, networks, colour=colour, framing=framing, sam2=sam2, threshold=threshold)
    tree = replace(tree, segment=config)
    if picture is not None and recording is None:
        chosen = PictureOptions(
            threshold=config.proposals.mask_threshold, device=device, pictures=pictures, force=force
        )
        som = None if colour else networks
        typer.echo(describe(segment_colours(picture, objects or [], unit, som, config, out, chosen)))
        return
    if not raw:
        check_and_say(tree, networks, device=device, tracks=False)
    segmenter = Segmenter(networks, config=config, device=device, options=EngineOptions(device=device))
    options = SegmentSceneOptions(
        verified=not raw,
        config=tree,
        frame_gate=tree.frame_gate,
        every=every,
        device=device,
        pictures=pictures,
        force=force,
    )

    def do(played: Scene, paths: list[Path], bundles: list[ObjectBundle], place: Path, progress: Frames) -> str:
        stored = [load_template_embedding(path, segmenter, item) for path, item in zip(paths, bundles, strict=True)]
        run = segment_scene(
            played,
            bundles,
            segmenter,
            place,
            replace(options, embeddings=stored),
            networks=networks,
            progress=progress,
        )
        return describe(run)

    subdivisions = 0 if raw else 3  # sparse views are for registration
    if recording is None:
        assert scene is not None
        request = DatasetRequest(
            path=scene,
            out=out,
            split=split,
            shard=shard,
            objects=objects or [],
            unit=unit,
            labels=LABELS,
            camera=camera,
            view_subdivisions=subdivisions,
            as_upstream=tree.as_upstream,
        )
        choices = run_settings(tree, networks, raw=raw, every=every, pictures=pictures)

        def do_scene(task: SceneTask) -> str:
            return do(task.scene, task.paths, task.bundles, task.out, task.progress)

        run_dataset(request, SEGMENT, choices, do_scene, segmenter=segmenter, networks=networks)
        return
    with progress_bars() as report:
        named = require_objects(objects)
        paths, opened = open_instances(
            named,
            instances,
            unit,
            view_subdivisions=subdivisions,
            as_upstream=tree.as_upstream,
            report=report,
        )
        said = do(recording, paths, opened, out, lambda done, total: report("segment", done / total))
    typer.echo(said)


def describe(run: SegmentRun) -> str:
    """A line per object: in how many images it was found, and how long that took; one of images passed over."""
    from storm_edge.replay.summary import describe_frames

    summary = run.summary
    spent = summary["latency_ms"]["object"]
    times = f"; p50 {spent['p50']:.0f} ms per object and image" if spent else ""
    lines = [
        f"{run.folder}: {name}, found in {summary['found_count'][name]} of {summary['frame_count']} images{times}"
        for name in summary["objects"]
    ]
    frames = describe_frames(summary["faults"]["frames"])
    if frames is not None:
        lines.append(f"{run.folder}: {frames}")
    return "\n".join(lines)
