"""What all objects share of a frame: it at the working size, and the network's features of it and of its tiles."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.segment_inputs.planes import Plane
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame, small_frame
from storm_edge.pipeline.segment.config import TilingConfig
from storm_edge.pipeline.segment.maps import MapMaker
from storm_edge.pipeline.segment.tiling import tiles_of

Float32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """A frame at the working size, and what the network makes of it whatever is searched for."""

    frame: Frame
    """The frame itself."""
    small: SmallFrame
    """At the working size."""
    maps: dict[str, Float32]
    """Features by name, for the network; empty without one."""

    def for_object(self, diameter_m: float) -> ImageFeatures:
        """The same for an object of this diameter [m]; see `SmallFrame.for_object`."""
        small = self.small.for_object(diameter_m)
        return self if small is self.small else replace(self, small=small)

    def stands_out(self, least_m: float) -> NDArray[np.bool_]:
        """What is farther than this from the large planes ``(H, W)``."""
        distance_m = self.small.letterbox.enlarge(self.small.plane_distance_m, self.frame.size_px)
        return np.asarray(distance_m > np.float32(least_m))


@dataclass(frozen=True, kw_only=True)
class TileFeatures:
    """A tile of a frame, encoded."""

    image: ImageFeatures
    """The tile as an image of its own."""
    window: tuple[slice, slice]
    """The rows and columns of the frame that it shows."""


class ImageEncoder:
    """Encodes frames, and keeps what it made of the newest one: several objects are searched for in the same frame.

    Args:
        maps: Makes the features.
        tiling: How frames are parted.
    """

    def __init__(self, maps: MapMaker, tiling: TilingConfig) -> None:
        self._maps, self._tiling = maps, tiling
        self._last: ImageFeatures | None = None
        self._last_tiles: tuple[Frame, tuple[TileFeatures, ...]] | None = None

    def encode(self, frame: Frame) -> ImageFeatures:
        """Features of a frame; those of the same `Frame` object are at hand the second time."""
        last = self._last  # another thread may replace it meanwhile
        if last is None or last.frame is not frame:
            last = self._last = self._encode(frame)
        return last

    def encode_tiles(self, frame: Frame) -> Generator[str, None, tuple[TileFeatures, ...]]:
        """Features of a frame's tiles, in chunks of one tile; at hand the second time, without a chunk.

        Yields:
            The kind of work a chunk did.
        """
        last = self._last_tiles
        if last is None or last[0] is not frame:
            # A tile's own largest plane may be a side of the object.
            planes = self.encode(frame).small.planes
            tiles = []
            for tile in tiles_of(frame, self._tiling):
                tiles.append(TileFeatures(image=self._encode(tile.frame, planes), window=tile.window))
                yield "encode tile"
            last = self._last_tiles = frame, tuple(tiles)
        return last[1]

    def _encode(self, frame: Frame, planes: Sequence[Plane] | None = None) -> ImageFeatures:
        small = small_frame(frame.rgb, frame.depth_m, frame.K, planes)
        return ImageFeatures(frame=frame, small=small, maps=self._maps.encode_image(frame, small))
