"""Segment a recorded scene: a mask per object and image, `summary.json` and pictures in a folder.

Every image is looked at once for all objects. A mask is the part of the model that is seen at the pose that a search
verified (`pipeline.detect.detector`), or, unverified, the segmenter's best one. Judging the masks is
`evaluate.masks`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene, mask_name, write_mask
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.environment import versions
from storm_edge.errors import ConfigError, mismatch
from storm_edge.files import atomic_folder
from storm_edge.frame import Frame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.detector import DetectConfig, Detector, TrackPrior
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.config import Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from storm_edge.replay.mask_overlay import DrawnMask, paint_masks
from storm_edge.replay.outputs import SUMMARY, write_summary
from storm_edge.replay.overlay import contact_sheet, write_picture

Bool = NDArray[np.bool_]
Progress = Callable[[int, int], None]

MASKS = "masks"
OVERLAYS = "overlays"
SHEET = "overlay_sheet.png"
_SHEET_PICTURES = 12
_PRESENT = 0.5  # an unverified mask counts where the network thinks it likelier than not that the object is there


@dataclass(frozen=True, kw_only=True)
class FoundObject:
    """One object in one image, as it is reported."""

    frame: int
    """Image number."""
    object_id: str
    """Name of the object."""
    index: int
    """Its place among the objects that were looked for; part of the mask's file name."""
    mask: Bool | None
    """Its pixels ``(H, W)``; None is the answer "not found"."""
    score: float
    """Verdict of the verification, or the segmenter's score, 0..1; of the best candidate where it was not found."""
    time_ms: float
    """Time for this object, without what all objects share of the image [ms]."""

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """First and last column and row plus one of the mask, ``(x0, y0, x1, y1)`` [px]."""
        if self.mask is None:
            return None
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    def entry(self) -> dict[str, Any]:
        """The entry of `summary.json`."""
        return {
            "frame": self.frame,
            "object": self.object_id,
            "index": self.index,
            "found": self.mask is not None,
            "score": round(self.score, 4),
            "box": self.box,
            "mask": None if self.mask is None else f"{MASKS}/{mask_name(self.frame, self.index)}",
            "time_ms": round(self.time_ms, 3),
        }


@dataclass(frozen=True, kw_only=True)
class SegmentRun:
    """What came out of a run."""

    summary: dict[str, Any]
    """The content of `summary.json`."""
    folder: Path
    """Where it lies."""


class _Seeker(Protocol):
    """Looks for one object, image by image."""

    def seek(self, frame: Frame) -> tuple[Bool | None, float]:
        """Mask, or None, and score."""


class _Verified:
    """By segmentation and registration; a close call goes to where the object was in the image before."""

    def __init__(self, detector: Detector, upload: Callable[[Frame], FrameBuffers]) -> None:
        self._detector, self._upload = detector, upload
        self._last: TrackPrior | None = None

    def seek(self, frame: Frame) -> tuple[Bool | None, float]:
        search = self._detector.detect(frame, self._upload(frame), track_prior=self._last)
        if search.found is None or not search.found.mask.any():
            return None, search.presence_probability
        self._last = TrackPrior(T_cam_centre=search.found.T_cam_centre)
        return search.found.mask, search.found.presence_probability


class _Raw:
    """By segmentation alone, with a closer look where that shows more."""

    def __init__(self, segmenter: Segmenter, embedding: TemplateEmbedding) -> None:
        self._segmenter, self._embedding = segmenter, embedding

    def seek(self, frame: Frame) -> tuple[Bool | None, float]:
        image = self._segmenter.encode_image(frame)
        found = run_to_completion(
            self._segmenter.segment_tiled(image, self._embedding, self._segmenter.segment(image, self._embedding))
        )
        doubted = self._segmenter.config.source is Source.NETWORK and found.score < _PRESENT
        if found.best is None or doubted:
            return None, found.best.score if found.best else 0.0
        return found.best.mask, found.best.score


class _Uploads:
    """Device buffers with the image asked for last, shared by all objects."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._buffers: FrameBuffers | None = None
        self._frame: Frame | None = None

    def __call__(self, frame: Frame) -> FrameBuffers:
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers, self._frame = FrameBuffers(*frame.size_px, self._device), None
        if self._frame is not frame:
            self._buffers.upload(frame)
            self._frame = frame
        return self._buffers


def segment_scene(
    scene: BopScene,
    bundles: Sequence[ObjectBundle],
    segmenter: Segmenter,
    out: Path,
    *,
    networks: NetworkBundle | None = None,
    embeddings: Sequence[TemplateEmbedding | None] | None = None,
    verified: bool = True,
    config: DetectConfig | None = None,
    every: int = 1,
    device: str = "cpu",
    pictures: bool = True,
    progress: Progress | None = None,
) -> SegmentRun:
    """Look for ``bundles`` in ``scene``; the folder ``out`` appears when all is written.

    Args:
        scene: The recording.
        bundles: Objects to look for, each with a name of its own.
        segmenter: Finds candidates.
        out: Result folder; an older result there is replaced.
        networks: For registration, if its schedule asks networks; its name is reported.
        embeddings: Stored at onboarding; None where an object is to be encoded now.
        verified: Whether masks are verified by registration; the segmenter's best one counts otherwise.
        config: When an object counts as found.
        every: Every how many images are segmented.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
        pictures: Whether to draw overlays and a contact sheet.
        progress: Called with images done and images in all.

    Raises:
        ConfigError: Two objects have one name, or ``every`` is less than 1.
        StormEdgeError: An image cannot be read, an embedding is of another network, the folder cannot be written.
    """
    names = [bundle.object_id for bundle in bundles]
    if len(set(names)) < len(names):
        raise ConfigError(mismatch("objects", f"names {names}", "a name for each", "onboard one of them with --id"))
    if every < 1:
        raise ConfigError(mismatch("--every", every, "1 or more", "give a positive number of images"))
    stored = embeddings or [None] * len(bundles)
    frame_ids = scene.frame_ids[::every]
    options, upload = EngineOptions(device=device), _Uploads(device)
    with atomic_folder(out, marker=SUMMARY) as folder:
        seekers: list[_Seeker] = []
        for bundle, embedding in zip(bundles, stored, strict=True):
            on_device = ObjectOnDevice(bundle, device)
            if verified:
                detector = Detector(
                    on_device,
                    segmenter,
                    networks=networks,
                    config=config,
                    embedding=embedding,
                    options=options,
                )
                seekers.append(_Verified(detector, upload))
            else:
                if embedding is not None:
                    segmenter.check(embedding, bundle)
                seekers.append(_Raw(segmenter, embedding or segmenter.encode_object(on_device)))
        for name in (MASKS, *([OVERLAYS] if pictures else [])):
            (folder / name).mkdir()
        results: list[FoundObject] = []
        looks_ms: list[float] = []
        sheet = []
        step = max(1, -(-len(frame_ids) // _SHEET_PICTURES))
        for done, frame_id in enumerate(frame_ids, start=1):
            frame = scene.frame(frame_id)
            started = time.perf_counter()
            segmenter.encode_image(frame)
            looks_ms.append((time.perf_counter() - started) * 1e3)
            found = [
                _seek(seeker, frame, name, i) for i, (seeker, name) in enumerate(zip(seekers, names, strict=True))
            ]
            results += found
            for item in found:
                if item.mask is not None:
                    write_mask(folder / MASKS / mask_name(frame_id, item.index), item.mask)
            if pictures:
                picture = paint_masks(frame.rgb, [_drawn(item) for item in found], note=f"{frame_id:06d}")
                write_picture(folder / OVERLAYS / f"{frame_id:06d}.png", picture)
                if (done - 1) % step == 0:
                    sheet.append(picture)
            if progress is not None:
                progress(done, len(frame_ids))
        if sheet:
            write_picture(folder / SHEET, contact_sheet(sheet, columns=min(4, len(sheet))))
        summary = {
            "scene": scene.path.name,
            "objects": names,
            "frame_count": len(frame_ids),
            "found_count": {n: sum(r.mask is not None for r in results if r.object_id == n) for n in names},
            "verified": verified,
            **segmenter.report,
            "bundle": "none" if networks is None else networks.name,
            "backend": None if networks is None else networks.backend.value,
            "device": device,
            "latency_ms": {"look": percentiles(looks_ms), "object": percentiles([r.time_ms for r in results])},
            "look_ms": {str(i): round(ms, 3) for i, ms in zip(frame_ids, looks_ms, strict=True)},
            "versions": versions(),
            "results": [item.entry() for item in results],
        }
        write_summary(folder / SUMMARY, summary)
    return SegmentRun(summary=summary, folder=out)


def _seek(seeker: _Seeker, frame: Frame, name: str, index: int) -> FoundObject:
    started = time.perf_counter()
    mask, score = seeker.seek(frame)
    return FoundObject(
        frame=frame.index,
        object_id=name,
        index=index,
        mask=mask,
        score=float(score),
        time_ms=(time.perf_counter() - started) * 1e3,
    )


def _drawn(item: FoundObject) -> DrawnMask:
    said = f"{item.score:.2f}" if item.mask is not None else f"not found ({item.score:.2f})"
    return DrawnMask(mask=item.mask, text=f"{item.object_id}  {said}  {item.time_ms:.0f} ms")
