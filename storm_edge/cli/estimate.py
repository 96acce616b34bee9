"""`storm-edge estimate`: every image of a scene or a dataset registered anew from masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend
from storm_edge.cli.config import open_config
from storm_edge.cli.dataset_run import DatasetRequest, SceneTask, open_any_dataset, run_dataset, run_settings
from storm_edge.cli.inputs import open_networks
from storm_edge.cli.mask_source import MASKS_HELP, SOM, mask_segmenter, mask_source, said
from storm_edge.cli.options import (
    NANO,
    BackendOption,
    BundleOption,
    CameraOption,
    ConfigOfProfileOption,
    DeviceOption,
    EnginesOption,
    LabelsOption,
    ObjectsOfAnyOption,
    Sam2Option,
    SceneOrDatasetArgument,
    ScheduleOption,
    SetOption,
    ShardOption,
    SplitOption,
    UnitOption,
)
from storm_edge.cli.schedules import check_and_say

if TYPE_CHECKING:
    from storm_edge.replay.estimate_scene import EstimateRun


def command(
    scene: SceneOrDatasetArgument,
    masks: Annotated[
        str,
        typer.Option(
            help=MASKS_HELP,
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write poses to, scene by scene.", show_default=False)],
    objects: ObjectsOfAnyOption = None,
    unit: UnitOption = None,
    labels: LabelsOption = None,
    camera: CameraOption = None,
    bundle: BundleOption = NANO,
    sam2: Sam2Option = False,
    every: Annotated[int, typer.Option(min=1, help="Every how many images.")] = 1,
    targets: Annotated[
        Path | None,
        typer.Option(
            help="BOP file of targets, such as test_targets_bop19.json: only images that it lists.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "cpu",
    backend: BackendOption = Backend.ONNXRUNTIME,
    engines: EnginesOption = ENGINE_FOLDER,
    schedule: ScheduleOption = None,
    profile: ConfigOfProfileOption = None,
    settings: SetOption = None,
    split: SplitOption = None,
    shard: ShardOption = None,
) -> None:
    """Register objects in every image anew, from masks, and leave BOP results."""
    from storm_edge.bop.targets import images_of_scene, read_targets
    from storm_edge.kernels.device import require_device
    from storm_edge.replay.estimate_scene import Estimator, estimate_scene
    from storm_edge.replay.result_kinds import ESTIMATE

    config = open_config(profile, settings, schedule=schedule, bundle=bundle)
    require_device(device)
    dataset = open_any_dataset(scene, split, shard)
    wanted = None if targets is None else read_targets(targets)
    networks = open_networks(bundle, backend=backend, engines=engines, device=device)
    check_and_say(config, networks, device=device, tracks=False)
    segmenter = mask_segmenter(networks, config, sam2=sam2, device=device) if masks == SOM else None
    source = mask_source(masks, dataset, segmenter, objects or [], device)
    estimator = Estimator(networks, config, device=device)

    def do(task: SceneTask) -> str:
        run = estimate_scene(
            task.scene,
            task.bundles,
            estimator,
            source(task),
            task.out,
            journal=out / ".unfinished" / f"{task.name}.jsonl",
            every=every,
            only=None if wanted is None else images_of_scene(wanted, task.name),
            about={"masks": said(masks)},
            progress=task.progress,
        )
        return describe(run)

    request = DatasetRequest(
        path=scene,
        out=out,
        split=split,
        shard=shard,
        objects=objects or [],
        unit=unit,
        labels=labels,
        camera=camera,
        as_upstream=config.as_upstream,
    )
    choices = run_settings(
        config, networks, masks=said(masks), sam2=sam2, every=every, targets=None if targets is None else targets.name
    )
    run_dataset(request, ESTIMATE, choices, do, segmenter=segmenter, networks=networks, dataset=dataset)


def describe(run: EstimateRun) -> str:
    """A line per scene: how many poses there are, and why others are not."""
    summary = run.summary
    missed = [f"{count} {name.replace('_', ' ')}" for name, count in summary["missed"].items() if count]
    spent = summary["latency_ms"]["register"]
    times = f"; p50 {spent['p50']:.0f} ms per registration" if spent else ""
    launched = [f"{name} {count}" for name, count in summary["engines"]["launches"].items() if count]
    asked = f"; launches: {', '.join(launched)}" if launched else ""
    return (
        f"{run.folder}: {summary['pose_count']} poses in {summary['frame_count']} images"
        f"{', ' + ', '.join(missed) if missed else ''}{times}{asked}"
    )
