"""Tiles of a frame, each as a frame of its own, and how their maps become the map of the frame.

At the working size of the nano segmenter, 160x120, an object 30 px across in a 640x480 image is 7 cells wide, and its
texture is gone. A tile brought to the working size shows it larger; what any tile marks is marked (`merge_max`). The
mean over tiles instead brought less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.pipeline.segment.config import TilingConfig


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of an image."""

    frame: Frame
    """It alone, with the intrinsics of a camera that sees no more."""
    window: tuple[slice, slice]
    """The rows and columns of the image that it shows."""


def tiles_of(frame: Frame, config: TilingConfig) -> Iterator[Tile]:
    """The tiles of a frame, row by row; one at a time, for they are copies."""
    height, width = (max(side // config.zoom, 1) for side in frame.size_px)
    tops, lefts = (
        np.linspace(0, whole - part, config.tiles_along).round().astype(int)
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


def merge_max(whole: NDArray[np.float32], tile: NDArray[np.float32], window: tuple[slice, slice]) -> None:
    """Raise a map of the image ``(H, W)`` to what a tile's map says there."""
    np.maximum(whole[window], tile, out=whole[window])
