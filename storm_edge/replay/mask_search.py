"""Look for one object in one image after the other, and what is reported of it.

A mask is the part of the model that is seen at the pose that a search verified (`pipeline.detect.detector`), or,
unverified, the segmenter's best one. `segment_scene` runs these over a recording.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import mask_name
from storm_edge.frame import Frame
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.config import Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]

MASKS = "masks"
"""Folder of the masks."""
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
    """Presence probability of the search, or the segmenter's score, 0..1; of the best candidate where it was not
    found."""
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


class MaskSearch(Protocol):
    """Looks for one object, image by image."""

    def search(self, frame: Frame) -> tuple[Bool | None, float]:
        """Mask ``(H, W)``, or None, and score."""


class VerifiedSearch:
    """By segmentation and registration; a close call goes to where the object was in the image before.

    Attributes:
        detector: Finds the object in an image.
        found: The image in which the object was found last, and its pose there ``(4, 4)``.
    """

    def __init__(self, detector: Detector, upload: Callable[[Frame], FrameBuffers]) -> None:
        self.detector, self._upload = detector, upload
        self._last: TrackPrior | None = None
        self.found: tuple[Frame, Float64] | None = None

    def avoid(self, others: Sequence[VerifiedSearch]) -> None:
        """Never find what these searches for other instances of the model found in the same image."""

        def taken(frame: Frame) -> Sequence[Float64]:
            return [o.found[1] for o in others if o.found is not None and o.found[0] is frame]

        self.detector.taken = taken

    def search(self, frame: Frame) -> tuple[Bool | None, float]:
        """See `MaskSearch.search`."""
        search = self.detector.detect(frame, self._upload(frame), track_prior=self._last)
        if search.found is None or not search.found.mask.any():
            return None, search.presence_probability
        self._last = TrackPrior(T_cam_centre=search.found.T_cam_centre)
        self.found = frame, search.found.T_cam_centre
        return search.found.mask, search.found.presence_probability


class RawSearch:
    """By segmentation alone, with tiled inference where that shows more.

    Attributes:
        found: The image in which the object was found last, and its mask there.
    """

    def __init__(self, segmenter: Segmenter, embedding: TemplateEmbedding) -> None:
        self._segmenter, self._embedding = segmenter, embedding
        self._others: Sequence[RawSearch] = ()
        self.found: tuple[Frame, Bool] | None = None

    def avoid(self, others: Sequence[RawSearch]) -> None:
        """Never find what these searches for other instances of the model found in the same image."""
        self._others = others

    def search(self, frame: Frame) -> tuple[Bool | None, float]:
        """See `MaskSearch.search`."""
        image = self._segmenter.encode_image(frame)
        found = run_to_completion(
            self._segmenter.segment_tiled(image, self._embedding, self._segmenter.segment(image, self._embedding))
        )
        doubted = self._segmenter.config.source is Source.NETWORK and found.score < _PRESENT
        taken = [o.found[1] for o in self._others if o.found is not None and o.found[0] is frame]
        best = next((c for c in found.candidates if not any(_is_covered(c.mask, mask) for mask in taken)), None)
        if best is None or doubted:
            return None, best.score if best else 0.0
        self.found = frame, best.mask
        return best.mask, best.score


def _is_covered(mask: Bool, other: Bool) -> bool:
    """Whether more than half of either of two masks is in both."""
    return bool(2 * np.count_nonzero(mask & other) > min(np.count_nonzero(mask), np.count_nonzero(other)))


class SharedUpload:
    """Device buffers with the image asked for last, shared by all objects."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._buffers: FrameBuffers | None = None
        self._frame: Frame | None = None

    def __call__(self, frame: Frame) -> FrameBuffers:
        """Buffers that hold ``frame``; uploaded once."""
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers, self._frame = FrameBuffers(*frame.size_px, self._device), None
        if self._frame is not frame:
            self._buffers.upload(frame)
            self._frame = frame
        return self._buffers


def search_image(search: MaskSearch, frame: Frame, object_id: str, index: int) -> FoundObject:
    """Look for an object in an image, and take the time.

    Args:
        search: How.
        frame: The image.
        object_id: Name of the object.
        index: Its place among the objects that are looked for.
    """
    started = time.perf_counter()
    mask, score = search.search(frame)
    return FoundObject(
        frame=frame.index,
        object_id=object_id,
        index=index,
        mask=mask,
        score=float(score),
        time_ms=(time.perf_counter() - started) * 1e3,
    )
