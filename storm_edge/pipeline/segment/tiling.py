"""A closer look at a frame: its parts, each as a frame of its own.

At the working size of the nano segmenter, 160x120, an object 30 px across in a 640x480 image is 7 cells wide, and
its print is gone. Overlapping parts of the image, each brought to the working size, show it twice as large; what any
of them marks is marked (`paste`). On 100 pictures of held-out clutter the best mask's overlap with the truth rose
from 0.62 to 0.74 by it, and the share of pictures in which one of four candidates overlaps by more than a half from
73 to 91 %. The mean over parts instead, and parts a third as wide as the image, brought less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame

ZOOM = 2
"""How much larger things appear in a part."""
PARTS_ALONG = 3
"""Parts along either side of the image; they overlap by half."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of an image."""

    frame: Frame
    """It alone, with the intrinsics of a camera that sees no more."""
    window: tuple[slice, slice]
    """The rows and columns of the image that it shows."""


def tiles_of(frame: Frame) -> Iterator[Tile]:
    """The parts of a frame, row by row; one at a time, for they are copies."""
    height, width = (max(side // ZOOM, 1) for side in frame.size_px)
    tops, lefts = (
        np.linspace(0, whole - part, PARTS_ALONG).round().astype(int)
        for whole, part in zip(frame.size_px, (height, width), strict=True)
    )
    for top in tops.tolist():
        for left in lefts.tolist():
            window = slice(top, top + height), slice(left, left + width)
            K = frame.K.copy()
            K[:2, 2] -= left, top
            yield Tile(
                frame=Frame(
                    rgb=np.ascontiguousarray(frame.rgb[window]),
                    depth_m=np.ascontiguousarray(frame.depth_m[window]),
                    K=K,
                    stamp_ns=frame.stamp_ns,
                    index=frame.index,
                ),
                window=window,
            )


def paste(whole: NDArray[np.float32], part: NDArray[np.float32], window: tuple[slice, slice]) -> None:
    """Raise a map of the image ``(H, W)`` to what a part's map says there."""
    np.maximum(whole[window], part, out=whole[window])
