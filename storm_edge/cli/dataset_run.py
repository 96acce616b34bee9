"""What commands over a whole BOP dataset share: its scenes and objects, the work folder, resuming and shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from storm_edge.choices import LengthUnit
from storm_edge.cli.console import Report, progress_bars
from storm_edge.cli.inputs import make_object, open_object, open_scene
from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.bop.dataset import BopDataset
    from storm_edge.bop.scene import BopScene
    from storm_edge.datasets.objects import DatasetObjects
    from storm_edge.datasets.shard import Shard
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.config import StormConfig
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.objects.bundle_files import StoredEmbedding
    from storm_edge.pipeline.segment.segmenter import Segmenter
    from storm_edge.result_kind import ResultKind

Frames = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class DatasetRequest:
    """A dataset on the command line."""

    path: Path
    """Its folder, or that of a scene where a command takes one as a dataset of one scene."""
    out: Path
    """Work folder."""
    split: str | None
    """Name of the split."""
    shard: str | None
    """Which part, ``I/N``."""
    objects: list[Path]
    """Objects to use in place of the dataset's models; none for all models."""
    unit: LengthUnit | None
    """Of model files among them."""
    labels: str | None
    """Name of the label files."""
    camera: str | None
    """Which of several cameras."""
    view_subdivisions: int = 3
    """Of sparse views; 0 for none."""
    as_upstream: bool = False
    """Whether the models as upstream loads them are kept, too."""


@dataclass(frozen=True, kw_only=True)
class SceneTask:
    """One scene to do."""

    scene: BopScene
    """The recording."""
    name: str
    """Its name in the dataset."""
    paths: list[Path]
    """Where the objects came from."""
    bundles: list[ObjectBundle]
    """The objects, as often as there may be instances."""
    out: Path
    """Folder that is to appear."""
    progress: Frames
    """Is told frames done and in all."""


DoScene = Callable[[SceneTask], str]
"""Does a scene and says what came of it."""


def run_dataset(
    request: DatasetRequest,
    kind: ResultKind,
    settings: dict[str, Any],
    do_scene: DoScene,
    *,
    segmenter: Segmenter | None = None,
    networks: NetworkBundle | None = None,
    dataset: BopDataset | None = None,
) -> None:
    """Do all scenes of a shard that are not done yet.

    Args:
        request: The dataset.
        kind: Of the scenes' results.
        settings: All that alters results.
        do_scene: Does one.
        segmenter: That will search for objects: what takes it long is stored with them.
        networks: Its networks.
        dataset: The dataset, where it is open already.
    """
    from storm_edge.bop.dataset import BopDataset, check_images
    from storm_edge.datasets.joined import join_scenes
    from storm_edge.datasets.merge import OBJECTS
    from storm_edge.datasets.run import do_scenes
    from storm_edge.datasets.shard import parse_shard
    from storm_edge.datasets.work_folder import Work, WorkFolder

    shard = parse_shard(request.shard)
    dataset = dataset or BopDataset(request.path, split=request.split)
    work = Work(
        command=kind.command,
        dataset=dataset.name,
        split=dataset.split,
        units=list(dataset.scenes),
        settings={
            "objects": [path.name for path in request.objects],
            "labels": request.labels,
            "camera": request.camera,
            **settings,
        },
    )
    with (
        WorkFolder(request.out, work, shard, inputs=[request.path, *request.objects]) as folder,
        progress_bars() as report,
    ):
        objects = _objects(request, dataset, request.out / OBJECTS, report, embed=_embedder(segmenter, networks))

        def do(name: str, place: Path, progress: Frames) -> None:
            scene = open_scene(dataset.scenes[name], request.labels, request.camera)
            check_images(scene)
            paths, bundles = objects.of_scene(scene)
            task = SceneTask(scene=scene, name=name, paths=paths, bundles=bundles, out=place, progress=progress)
            typer.echo(do_scene(task) if bundles else _leave_empty(task, kind))

        do_scenes(folder, do, finish=join_scenes, progress=report)
    place = f"{dataset.name}/{dataset.split}" if dataset.split else dataset.name
    typer.echo(f"{request.out}: {len(folder.units)} of {len(work.units)} scenes of {place} done{_of(shard)}")


def open_dataset_objects(request: DatasetRequest, dataset: BopDataset, report: Report) -> DatasetObjects:
    """The dataset's objects to measure errors on, in memory: its evaluation models, or those that were named."""
    return _objects(request, dataset, None, report, measured=True)


def run_settings(config: StormConfig, networks: NetworkBundle | None, **more: Any) -> dict[str, Any]:
    """What alters the results of a run: the configuration, the networks, and ``more``; JSON types."""
    from storm_edge.config.render import changes
    from storm_edge.live.config import StormConfig as Default

    files = {} if networks is None else {name: file.sha256[:12] for name, file in networks.networks.items()}
    return {"config": list(changes(config, Default())), "networks": files, **more}


def require_objects(objects: list[Path] | None) -> list[Path]:
    """The objects of a scene, of which there must be some."""
    if not objects:
        raise typer.BadParameter("is needed for a scene; of a dataset it may be left out", param_hint="'--object'")
    return objects


def open_any_dataset(path: Path, split: str | None, shard: str | None) -> BopDataset:
    """A dataset, or a single scene as a dataset of one."""
    from storm_edge.bop.dataset import BopDataset, SceneAsDataset, is_dataset

    if is_dataset(path):
        return BopDataset(path, split=split)
    refuse_dataset_options(split, shard)
    return SceneAsDataset(path)


def refuse_dataset_options(split: str | None, shard: str | None, *, targets: Path | None = None) -> None:
    """Refuse options of datasets where a scene was given.

    Raises:
        ConfigError: One is there.
    """
    for option, value in (("--split", split), ("--shard", shard), ("--targets", targets)):
        if value is not None:
            remedy = f"leave {option} out, or name the folder of a BOP dataset"
            raise ConfigError(mismatch(option, value, "nothing beside a single scene", remedy))


def _objects(
    request: DatasetRequest,
    dataset: BopDataset,
    folder: Path | None,
    report: Report,
    *,
    embed: Callable[[ObjectBundle], list[StoredEmbedding]] | None = None,
    measured: bool = False,
) -> DatasetObjects:
    from storm_edge.datasets.objects import DatasetObjects, GivenObject

    views, as_upstream = request.view_subdivisions, request.as_upstream

    def opened(path: Path) -> ObjectBundle:
        return open_object(path, request.unit, view_subdivisions=views, as_upstream=as_upstream, report=report)

    def onboard(model: Path) -> ObjectBundle:
        return make_object(model, LengthUnit.MM, view_subdivisions=views, as_upstream=as_upstream, report=report)

    given = [GivenObject(path=path, bundle=opened(path)) for path in request.objects]

    return DatasetObjects(dataset, folder, onboard=onboard, embed=embed, given=given, measured=measured)


def _embedder(
    segmenter: Segmenter | None, networks: NetworkBundle | None
) -> Callable[[ObjectBundle], list[StoredEmbedding]] | None:
    from storm_edge.pipeline.segment.template_cache import make_template_embedding

    if segmenter is None or networks is None or segmenter.encodes_quickly:
        return None
    name, encoder = networks.name, segmenter
    return lambda bundle: [make_template_embedding(encoder, bundle, name=name)]


def _leave_empty(task: SceneTask, kind: ResultKind) -> str:
    """Leave a result that says that none of the objects is in the scene."""
    from storm_edge.replay.summary import SUMMARY, write_summary
    from storm_edge.result_folder import atomic_folder

    with atomic_folder(task.out, kind) as folder:
        content: dict[str, Any] = {
            "made_by": kind.made_by,
            "scene": task.name,
            "objects": [],
            "ended_by": None,
        }
        write_summary(folder / SUMMARY, content)
    return f"{task.out}: none of the objects is labelled in this scene"


def _of(shard: Shard) -> str:
    return "" if shard.count == 1 else f", shard {shard}; storm-edge merge joins all shards"
