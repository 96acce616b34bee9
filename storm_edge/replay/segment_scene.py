"""Segment a recorded scene: a mask per object and image, `summary.json` and images in a folder.

A run that Ctrl-C or SIGTERM ends leaves the images that were done, and `summary.json` says so. Such a result replaces
no older one: it goes to ``OUT.partial`` then.

Every image is encoded once for all objects. How an object is looked for is `mask_search`; errors against labels are
`evaluate.masks`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storm_edge.bop.images import mask_name, write_mask
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.environment import versions
from storm_edge.errors import ConfigError, mismatch
from storm_edge.frame import Frame
from storm_edge.interruption import Interruption
from storm_edge.kernels.host_threads import launching_on
from storm_edge.live.camera_doubt import CameraDoubt
from storm_edge.live.config import FrameGateConfig
from storm_edge.live.frame_gate import SkipReason
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import name_instances
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.config import PipelineConfig
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from storm_edge.replay.drawing.images import UInt8, contact_sheet, write_picture
from storm_edge.replay.drawing.mask_overlay import DrawnMask, paint_masks
from storm_edge.replay.drawing.run_images import OVERLAYS, SHEET, sheet_step
from storm_edge.replay.frame_reader import FrameReader
from storm_edge.replay.mask_search import (
    MASKS,
    FoundObject,
    MaskSearch,
    RawSearch,
    SharedUpload,
    VerifiedSearch,
    search_image,
)
from storm_edge.replay.result_kinds import SEGMENT
from storm_edge.replay.scale_hints import MissedObject, scale_hints
from storm_edge.replay.scene import Scene
from storm_edge.replay.summary import SUMMARY, write_summary
from storm_edge.result_folder import ResultFolder
from storm_edge.thread_limit import usable_threads

Progress = Callable[[int, int], None]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SegmentSceneOptions:
    """How a scene is segmented."""

    verified: bool = True
    """Whether masks are verified by registration; the segmenter's best one counts otherwise."""
    config: PipelineConfig = field(default_factory=PipelineConfig)
    """Of the search; the segmenter has its own already."""
    frame_gate: FrameGateConfig = field(default_factory=FrameGateConfig)
    """What a frame must have to be used."""
    embeddings: Sequence[TemplateEmbedding | None] | None = None
    """Of each object, stored at onboarding; None where it is to be encoded now."""
    every: int = 1
    """Every how many images are segmented."""
    device: str = "cpu"
    """``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``."""
    pictures: bool = True
    """Whether to draw overlays and a contact sheet."""
    force: bool = False
    """Whether files that are not ours may lie in the result folder; they are kept."""


@dataclass(frozen=True, kw_only=True)
class SegmentRun:
    """What came out of a run."""

    summary: dict[str, Any]
    """The content of `summary.json`."""
    folder: Path
    """Where it lies."""


def segment_scene(
    scene: Scene,
    bundles: Sequence[ObjectBundle],
    segmenter: Segmenter,
    out: Path,
    options: SegmentSceneOptions | None = None,
    *,
    networks: NetworkBundle | None = None,
    progress: Progress | None = None,
) -> SegmentRun:
    """Look for ``bundles`` in ``scene``; the folder ``out`` appears when all is written.

    Args:
        scene: The recording.
        bundles: Objects to look for; several of one model are instances, each of which is found once per image.
        segmenter: Finds candidates.
        out: Result folder; an older result there is replaced by one that did not end early.
        options: How.
        networks: For registration, if its schedule asks networks; its name is reported.
        progress: Called with images done and images in all.

    Raises:
        ConfigError: Two models have one name, or ``every`` is less than 1.
        KeyboardInterrupt: Ctrl-C; the folder is there, with all up to then, unless no image was done.
        StormEdgeError: No image can be used (single bad ones are passed over), an embedding is of another network, or
            the folder cannot be written.
    """
    options = options or SegmentSceneOptions()
    bundles = name_instances(bundles)
    launched_before = {} if networks is None else networks.launch_counts.by_network()
    names = [bundle.object_id for bundle in bundles]
    if options.every < 1:
        raise ConfigError(mismatch("--every", options.every, "1 or more", "give a positive number of images"))
    frame_ids = scene.frame_ids[:: options.every]
    result = ResultFolder(out, SEGMENT, force=options.force)
    with Interruption() as signals, result:
        folder = result.folder
        searches = _make_searches(bundles, segmenter, networks, options)
        images = MaskImages(folder, len(frame_ids), drawn=options.pictures)
        results: list[FoundObject] = []
        encode_ms: dict[int, float] = {}
        reader, camera = FrameReader(scene, options.frame_gate), CameraDoubt(options.config.depth_offset)
        threads = usable_threads(options.config.search_threads)
        searched = _search_scene(reader, frame_ids, segmenter, dict(zip(names, searches, strict=True)), threads)
        last_frame: Frame | None = None
        for item in signals.until_asked(searched):
            camera.look(item.frame, at_once=True)
            last_frame = item.frame
            results += item.found
            encode_ms[item.frame.index] = item.encode_ms
            images.add(item.frame, item.found)
            if progress is not None:
                progress(item.done, len(frame_ids))
        reader.check_used()
        images.write_sheet()
        found_count = {n: sum(r.mask is not None for r in results if r.object_id == n) for n in names}
        hints = []
        if not signals.is_asked:
            camera.conclude()
            with launching_on(threads):
                hints = scale_hints(
                    _missed(bundles, searches, found_count),
                    last_frame,
                    options.config.register.scale,
                    device=options.device,
                    is_stopped=lambda: signals.is_asked,
                )
        result.complete = not signals.is_asked
        summary = {
            "made_by": SEGMENT.made_by,
            "scene": scene.path.name,
            "objects": names,
            "frame_count": reader.used,
            "found_count": found_count,
            "verified": options.verified,
            **segmenter.report,
            "bundle": "none" if networks is None else networks.name,
            "backend": None if networks is None else networks.backend.value,
            "device": options.device,
            "engines": {"launches": {} if networks is None else networks.launches_since(launched_before)},
            **_times(results, encode_ms),
            "faults": {"frames": reader.report},
            "remarks": [*camera.remarks, *hints],
            "versions": versions(),
            "ended_by": signals.ended_by,
            "results": [item.entry() for item in results],
        }
        write_summary(folder / SUMMARY, summary)
        if signals.is_asked:
            _LOG.warning("what there is of %d images is in %s", len(encode_ms), result.place())
    return SegmentRun(summary=summary, folder=out)


def _times(results: Sequence[FoundObject], encode_ms: dict[int, float]) -> dict[str, object]:
    """Percentiles of the times [ms], and the times of encoding by image."""
    return {
        "latency_ms": {
            "encode": percentiles(list(encode_ms.values())),
            "object": percentiles([found.time_ms for found in results]),
        },
        "encode_ms": {str(i): round(ms, 3) for i, ms in encode_ms.items()},
    }


def _missed(
    bundles: Sequence[ObjectBundle], searches: Sequence[MaskSearch], found_count: Mapping[str, int]
) -> list[MissedObject]:
    """Objects that were found in no image."""
    return [
        MissedObject(bundle=bundle, detector=search.detector if isinstance(search, VerifiedSearch) else None)
        for bundle, search in zip(bundles, searches, strict=True)
        if not found_count[bundle.object_id]
    ]


@dataclass(frozen=True, kw_only=True)
class _Searched:
    """One image, and what was found in it."""

    frame: Frame
    found: list[FoundObject]
    encode_ms: float
    done: int
    """Images up to this one, those that were passed over included."""


def _search_scene(
    reader: FrameReader,
    frame_ids: Sequence[int],
    segmenter: Segmenter,
    searches: Mapping[str, MaskSearch],
    threads: int,
) -> Iterator[_Searched]:
    """Image by image; every one is encoded once, and one that cannot be used is passed over."""
    for done, frame_id in enumerate(frame_ids, start=1):
        frame = reader.read(frame_id)
        if isinstance(frame, SkipReason):
            continue
        started = time.perf_counter()
        segmenter.encode_image(frame)
        encode_ms = (time.perf_counter() - started) * 1e3
        with launching_on(threads):
            found = [search_image(search, frame, name, i) for i, (name, search) in enumerate(searches.items())]
        yield _Searched(frame=frame, found=found, encode_ms=encode_ms, done=done)


def _earlier(
    searches: Sequence[MaskSearch], bundles: Sequence[ObjectBundle], bundle: ObjectBundle
) -> list[MaskSearch]:
    """The searches so far, which are those of the first bundles, for other instances of a bundle's model."""
    pairs = zip(searches, bundles, strict=False)
    return [search for search, other in pairs if other.source.sha256 == bundle.source.sha256]


def _make_searches(
    bundles: Sequence[ObjectBundle],
    segmenter: Segmenter,
    networks: NetworkBundle | None,
    options: SegmentSceneOptions,
) -> list[MaskSearch]:
    """One per object, in their order."""
    upload = SharedUpload(options.device)
    searches: list[MaskSearch] = []
    stored = options.embeddings or [None] * len(bundles)
    for bundle, embedding in zip(bundles, stored, strict=True):
        as_upstream = options.verified and options.config.as_upstream
        on_device = ObjectOnDevice(bundle, options.device, as_upstream=as_upstream)
        if options.verified:
            detector = Detector(
                on_device,
                segmenter,
                networks=networks,
                config=options.config.detect,
                side=options.config.side,
                geometry=options.config.refine,
                embedding=embedding,
                options=EngineOptions(device=options.device),
            )
            search = VerifiedSearch(detector, upload)
            search.avoid([s for s in _earlier(searches, bundles, bundle) if isinstance(s, VerifiedSearch)])
            searches.append(search)
        else:
            if embedding is not None:
                segmenter.check(embedding, bundle)
            raw = RawSearch(segmenter, embedding or segmenter.encode_object(on_device))
            raw.avoid([s for s in _earlier(searches, bundles, bundle) if isinstance(s, RawSearch)])
            searches.append(raw)
    return searches


@dataclass(kw_only=False)
class MaskImages:
    """Writes masks and, if they are drawn, overlays and a contact sheet."""

    folder: Path
    image_count: int
    drawn: bool
    _sheet: list[UInt8] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        for name in (MASKS, *([OVERLAYS] if self.drawn else [])):
            (self.folder / name).mkdir()

    def add(self, frame: Frame, found: Sequence[FoundObject]) -> None:
        """Write what was found in an image."""
        for item in found:
            if item.mask is not None:
                write_mask(self.folder / MASKS / mask_name(frame.index, item.index), item.mask)
        if self.drawn:
            picture = paint_masks(frame.rgb, [_drawn(item) for item in found], note=f"{frame.index:06d}")
            write_picture(self.folder / OVERLAYS / f"{frame.index:06d}.png", picture)
            if self._count % sheet_step(self.image_count) == 0:
                self._sheet.append(picture)
        self._count += 1

    def write_sheet(self) -> None:
        """Write the contact sheet."""
        if self._sheet:
            write_picture(self.folder / SHEET, contact_sheet(self._sheet, columns=min(4, len(self._sheet))))


def _drawn(item: FoundObject) -> DrawnMask:
    said = f"{item.score:.2f}" if item.mask is not None else f"not found ({item.score:.2f})"
    return DrawnMask(mask=item.mask, text=f"{item.object_id}  {said}  {item.time_ms:.0f} ms")
