"""`storm-edge estimate`: every image of a scene or a dataset registered anew from masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend
from storm_edge.cli.config import open_config
from storm_edge.cli.dataset_run import DatasetRequest, SceneTask, open_any_dataset, run_dataset, run_settings
from storm_edge.cli.inputs import open_networks
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
from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.bop.dataset import BopDataset
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.config import StormConfig
    from storm_edge.pipeline.segment.segmenter import Segmenter
    from storm_edge.replay.estimate_scene import EstimateRun
    from storm_edge.replay.mask_sources import MaskSource

GT, GT_WHOLE, SOM = "gt", "gt-whole", "som"
"""Masks of the labels, their visible parts or whole silhouettes; of the bundle's segmenter."""

SourceOf = Callable[[SceneTask], "MaskSource"]


def command(
    scene: SceneOrDatasetArgument,
    masks: Annotated[
        str,
        typer.Option(
            help=f"Where masks come from: '{GT}' and '{GT_WHOLE}' (mask_visib and mask of the labels), '{SOM}' (the "
            "bundle's segmenter, or colours without a bundle), the folder of a run of storm-edge segment, or a JSON "
            "file of detections as CNOS leaves them.",
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
    from storm_edge.kernels.device import require_device
    from storm_edge.replay.estimate_scene import Estimator, estimate_scene
    from storm_edge.replay.result_kinds import ESTIMATE

    config = open_config(profile, settings, schedule=schedule, bundle=bundle)
    require_device(device)
    dataset = open_any_dataset(scene, split, shard)
    networks = open_networks(bundle, backend=backend, engines=engines, device=device)
    check_and_say(config, networks, device=device, tracks=False)
    segmenter = _segmenter(networks, config, sam2=sam2, device=device) if masks == SOM else None
    source = _source(masks, dataset, segmenter, objects or [], device)
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
            about={"masks": _said(masks)},
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
    choices = run_settings(config, networks, masks=_said(masks), sam2=sam2, every=every)
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


def _said(masks: str) -> str:
    """The source of masks without the place where it lies."""
    return masks if masks in (GT, GT_WHOLE, SOM) else Path(masks).name


def _segmenter(networks: NetworkBundle | None, config: StormConfig, *, sam2: bool, device: str) -> Segmenter:
    from storm_edge.live.factory import make_segmenter

    segmenter = make_segmenter(networks, config=config.segment, sam2=sam2, device=device)
    if segmenter is None:
        assert networks is not None
        remedy = "use a bundle with som_reference, som_query and som_head, or other masks"
        raise ConfigError(mismatch(f"--masks {SOM}", f"bundle {networks.name} without one", "a segmenter", remedy))
    return segmenter


def _source(
    masks: str, dataset: BopDataset, segmenter: Segmenter | None, objects: list[Path], device: str
) -> SourceOf:
    """What gives the masks of a scene.

    Raises:
        StormEdgeError: There is no such file, it is of another dataset, or not all of it is done.
    """
    from storm_edge.bop.detections import read_detections
    from storm_edge.datasets.predictions import work_scenes
    from storm_edge.datasets.work_folder import is_work_folder
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.pipeline.segment.template_cache import load_template_embedding
    from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
    from storm_edge.replay import mask_sources

    path = Path(masks)
    if masks in (GT, GT_WHOLE):
        return lambda task: mask_sources.LabelMasks(task.scene, whole=masks == GT_WHOLE)
    if segmenter is not None:
        asked = segmenter

        def by_segmenter(task: SceneTask) -> MaskSource:
            places = dict(zip((item.object_id for item in task.bundles), task.paths, strict=True))

            def embedding(item: ObjectBundle) -> TemplateEmbedding | None:
                return load_template_embedding(places[item.object_id], asked, item)

            return mask_sources.SegmenterMasks(asked, embedding, device)

        return by_segmenter
    if path.suffix.lower() == ".json":
        detections = read_detections(path)
        names = {int(name) if name.isdecimal() else 0: name for name in dataset.scenes}
        numbers = {number for item in objects if (number := _number(item)) is not None} | set(dataset.models)
        mask_sources.check_detections(detections, names, sorted(numbers), dataset.name)
        return lambda task: mask_sources.DetectionMasks(
            [item for item in detections if names[item.scene_id] == task.name], task.scene
        )
    if is_work_folder(path):
        folders = work_scenes(path, dataset)
        return lambda task: mask_sources.result_masks(folders[task.name])
    if not path.is_dir():
        expected = f"{GT}, {GT_WHOLE}, {SOM}, a folder of storm-edge segment or a .json of detections"
        raise ConfigError(mismatch("--masks", masks, expected, "check the path"))
    if len(dataset.scenes) > 1:
        got, expected = f"the masks of one scene in {path}", f"masks of {len(dataset.scenes)} scenes"
        raise ConfigError(mismatch("--masks", got, expected, "segment the dataset, or name the scene"))
    only = mask_sources.result_masks(path)
    return lambda task: only


def _number(path: Path) -> int | None:
    from storm_edge.objects.bundle import number_in

    return number_in(path.stem)
