"""Segment a single picture without depth, by STORM's SOM: it alone reads colours and nothing else.

The mask is all that is probable enough, wherever it is, as upstream's program leaves it; SAM2 may sharpen it. With
depth a picture is a recording of one frame (`picture_scene`), which any segmenter reads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import listed, read_rgb
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.environment import versions
from storm_edge.errors import ConfigError, SceneError, mismatch
from storm_edge.frame import Frame
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.segment.full_som_views import VIEWS
from storm_edge.pipeline.segment.maps import FullMaps
from storm_edge.pipeline.segment.sharpen import Sharpener
from storm_edge.replay.mask_search import FoundObject
from storm_edge.replay.result_kinds import SEGMENT
from storm_edge.replay.segment_scene import MaskImages, SegmentRun
from storm_edge.replay.summary import SUMMARY, write_summary
from storm_edge.result_folder import atomic_folder

Float32 = NDArray[np.float32]
Tensors = Mapping[str, Float32]
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How a picture is segmented."""

    threshold: float = 0.5
    """Probability from which a pixel is the object's."""
    device: str = "cpu"
    """Where the networks run, for the report."""
    pictures: bool = True
    """Whether an overlay is drawn."""
    force: bool = False
    """Whether files that are not ours may lie in the result folder."""


def read_views(folder: Path) -> list[NDArray[np.uint8]]:
    """The first sixteen pictures of a folder, by name, ``(H, W, 3)`` each.

    Raises:
        SceneError: There are fewer, or one cannot be read.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _PICTURES) if folder.is_dir() else []
    if len(files) < VIEWS:
        got = f"{len(files)} pictures among {listed(folder)}" if folder.is_dir() else "no such folder"
        expected = f"{VIEWS} views of the object from all sides"
        raise SceneError(mismatch(folder, got, expected, "add views, or give --object"))
    return [read_rgb(path, is_grey=True) for path in files[:VIEWS]]


def encode_views(maps: FullMaps, views: Sequence[NDArray[np.uint8]], *, name: str) -> Tensors:
    """What SOM keeps of an object that is known by views alone.

    Raises:
        ConfigError: It takes a description as well.
    """
    if maps.context_length is not None:
        got, expected = "views alone", "an object with a description"
        remedy = "onboard the model with --description, and give --object"
        raise ConfigError(mismatch(f"views of {name}", got, expected, remedy))
    return maps.encode_pictures(views)


def segment_picture(
    path: Path,
    objects: Mapping[str, Tensors],
    maps: FullMaps,
    networks: NetworkBundle,
    out: Path,
    options: PictureOptions | None = None,
    *,
    sharpener: Sharpener | None = None,
) -> SegmentRun:
    """Look for objects in a picture; the folder ``out`` appears when all is written.

    Args:
        path: The picture.
        objects: What SOM keeps of each, by name.
        maps: SOM.
        networks: Its bundle, for the report.
        out: Result folder, as `segment_scene` leaves it.
        options: How.
        sharpener: SAM2; its mask is taken where both agree.

    Raises:
        SceneError, FrameError: The picture cannot be read.
        OutputError: The folder cannot be written.
    """
    options = options or PictureOptions()
    rgb = read_rgb(path, is_grey=True)
    launched_before = networks.launch_counts.by_network()
    started = time.perf_counter()
    tokens = maps.encode_picture(rgb)
    if sharpener is not None:
        sharpener.encode_image(rgb)
    encode_ms = (time.perf_counter() - started) * 1e3
    results = []
    for index, (name, tensors) in enumerate(objects.items()):
        started = time.perf_counter()
        mask, score = _mask(rgb, maps.picture_map(tokens, tensors, rgb.shape[:2]), options.threshold, sharpener)
        time_ms = (time.perf_counter() - started) * 1e3
        results.append(FoundObject(frame=0, object_id=name, index=index, mask=mask, score=score, time_ms=time_ms))
    launches = networks.launches_since(launched_before)
    summary = _summary(path, results, encode_ms, options) | {
        **maps.report,
        "sam2": sharpener is not None,
        "bundle": networks.name,
        "backend": networks.backend.value,
        "engines": {"launches": launches},
    }
    with atomic_folder(out, SEGMENT, force=options.force) as folder:
        shown = Frame(rgb=rgb, depth_m=np.zeros(rgb.shape[:2], dtype=np.float32), K=np.eye(3), index=0)
        MaskImages(folder, 1, drawn=options.pictures).add(shown, results)
        write_summary(folder / SUMMARY, summary)
    return SegmentRun(summary=summary, folder=out)


def _summary(path: Path, results: Sequence[FoundObject], encode_ms: float, options: PictureOptions) -> dict[str, Any]:
    """The content of `summary.json`, but for the networks."""
    return {
        "made_by": SEGMENT.made_by,
        "scene": path.name,
        "objects": [item.object_id for item in results],
        "frame_count": 1,
        "found_count": {item.object_id: int(item.mask is not None) for item in results},
        "verified": False,
        "threshold": options.threshold,
        "device": options.device,
        "latency_ms": {"encode": percentiles([encode_ms]), "object": percentiles([r.time_ms for r in results])},
        "encode_ms": {"0": round(encode_ms, 3)},
        "faults": {"frames": {}},
        "remarks": [],
        "versions": versions(),
        "ended_by": None,
        "results": [item.entry() for item in results],
    }


def _mask(
    rgb: NDArray[np.uint8], found: tuple[Float32, float], threshold: float, sharpener: Sharpener | None
) -> tuple[NDArray[np.bool_] | None, float]:
    """The mask of a map, None where the object is not there; and the largest probability."""
    probability, presence = found
    mask = probability >= threshold
    if presence == 0.0 or not mask.any():
        return None, float(probability.max())
    if sharpener is not None:
        sharp = sharpener.sharpen(mask)
        mask = sharp.mask if sharp.accepted else mask
    return mask, presence
