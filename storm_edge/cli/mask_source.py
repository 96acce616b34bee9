"""Where the masks come from that `estimate`, and `track` by STORM's rules, make poses of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from storm_edge.cli.dataset_run import SceneTask
from storm_edge.errors import ConfigError, InputError, mismatch

if TYPE_CHECKING:
    from storm_edge.bop.dataset import BopDataset
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.config import StormConfig
    from storm_edge.pipeline.segment.segmenter import Segmenter
    from storm_edge.replay.mask_sources import MaskSource

GT, GT_WHOLE, SOM = "gt", "gt-whole", "som"
"""Masks of the labels, their visible parts or whole silhouettes; of the bundle's segmenter."""

SourceOf = Callable[[SceneTask], "MaskSource"]
MASKS_HELP = (
    f"Where masks come from: '{GT}' and '{GT_WHOLE}' (mask_visib and mask of the labels), '{SOM}' (the bundle's"
    " segmenter, or colours without a bundle), the folder of a run of storm-edge segment, or a JSON file of"
    " detections as CNOS leaves them."
)


def said(masks: str) -> str:
    """The source of masks without the place where it lies."""
    return masks if masks in (GT, GT_WHOLE, SOM) else Path(masks).name


def mask_segmenter(networks: NetworkBundle | None, config: StormConfig, *, sam2: bool, device: str) -> Segmenter:
    """The segmenter that gives masks.

    Raises:
        ConfigError: The bundle has none.
    """
    from storm_edge.live.factory import make_segmenter

    segmenter = make_segmenter(networks, config=config.segment, sam2=sam2, device=device)
    if segmenter is None:
        assert networks is not None
        remedy = "use a bundle with som_reference, som_query and som_head, or other masks"
        raise ConfigError(mismatch(f"--masks {SOM}", f"bundle {networks.name} without one", "a segmenter", remedy))
    return segmenter


def mask_source(
    masks: str, dataset: BopDataset, segmenter: Segmenter | None, objects: list[Path], device: str
) -> SourceOf:
    """What gives the masks of a scene.

    Raises:
        StormEdgeError: There is no such file, it is of another dataset, or not all of it is done.
    """
    from storm_edge.bop.detections import read_detections
    from storm_edge.datasets.predictions import work_scenes, work_units
    from storm_edge.datasets.work_folder import is_work_folder
    from storm_edge.objects.on_device import ObjectOnDevice
    from storm_edge.pipeline.segment.template_cache import load_template_embedding
    from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
    from storm_edge.replay import mask_sources

    path = Path(masks)
    if masks in (GT, GT_WHOLE):
        return lambda task: mask_sources.LabelMasks(task.scene, whole=masks == GT_WHOLE)
    if segmenter is not None:
        asked = segmenter

        def by_segmenter(task: SceneTask) -> MaskSource:
            # Encoded before the first image, so that a run that was gone on with counts the same launches.
            known: dict[str, TemplateEmbedding] = {}
            for path, item in zip(task.paths, task.bundles, strict=True):
                if item.object_id not in known:
                    stored = load_template_embedding(path, asked, item)
                    known[item.object_id] = stored or asked.encode_object(ObjectOnDevice(item, device))
            return mask_sources.SegmenterMasks(asked, known)

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
        folders, units = work_scenes(path, dataset), work_units(path)

        def by_results(task: SceneTask) -> MaskSource:
            if task.name in folders:
                return mask_sources.result_masks(folders[task.name])
            if task.name in units:  # segmented, and none of its objects are there
                return mask_sources.ResultMasks([])
            got, remedy = f"no masks of scene {task.name}", "segment it, or merge all shards"
            raise InputError(mismatch(path, got, f"the scenes of {dataset.name}/{dataset.split}", remedy))

        return by_results
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
