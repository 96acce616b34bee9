"""Candidate masks of an object in one image: what every part of the segmenter makes, takes or returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.letterbox import halved
from storm_edge.pipeline.segment.image_features import ImageFeatures

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A place where the object may be."""

    mask: NDArray[np.bool_]
    """Its pixels ``(H, W)``."""
    grown: NDArray[np.bool_]
    """The same with all that stands out from the planes around it, whatever its colour: parts that the mask lacks,
    but also what touches the object ``(H, W)``."""
    score: float
    """How much speaks for it, 0..1: of the nano segmenter the intersection over union with the object that is to be
    expected, of the others the mean probability in it, less where it is small; by shape how well that fits."""
    box: tuple[int, int, int, int]
    """First and last column and row plus one, ``(x0, y0, x1, y1)`` [px]."""
    sharpened: bool = False
    """Whether the mask is SAM2's."""
    starts: Float64 | None = None
    """Poses of the centred mesh [m] from which a registration may begin, ``(N, 4, 4)``, best first; None where all
    turns must be tried."""

    mark: Candidate | None = None
    """The segmenter's candidate at whose place the object's shape was looked for; None where it was everywhere."""

    @property
    def is_by_shape(self) -> bool:
        """Whether it comes of the object's shape, and not of its colours."""
        return self.starts is not None


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """Candidates of one object in one image."""

    candidates: tuple[Candidate, ...]
    """Best first; empty when it was not found."""
    probability: Float32
    """The map they were made from, ``(60, 80)``."""
    score: float
    """`presence_probability`, or where there is none the best candidate's score, 0..1."""
    presence_probability: float | None = None
    """How likely the object is there at all, by the network, 0..1; None where no network says so."""

    @property
    def best(self) -> Candidate | None:
        """The best candidate, None if the object was not found."""
        return self.candidates[0] if self.candidates else None


def segmentation_from_mask(image: ImageFeatures, mask: NDArray[np.bool_]) -> Segmentation:
    """A mask ``(H, W)`` from elsewhere, which must mark something, as the one candidate in a frame."""
    cells = halved(image.small.letterbox.shrink(mask.astype(np.float32)))
    only = Candidate(mask=mask, grown=mask, score=1.0, box=bounding_box(mask))
    return Segmentation(candidates=(only,), probability=cells, score=1.0)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and last column and row plus one of a mask that is not empty, ``(x0, y0, x1, y1)`` [px]."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
