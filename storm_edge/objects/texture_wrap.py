"""Textures beyond their edges: images that clamp or mirror become images that repeat, as renderers here sample them.

A mirrored image is one of twice the size that repeats. A clamped one gets its edge texels around it, as far as the
coordinates go; where that is very far it repeats, and that is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from storm_edge.objects.surface import Float64, UInt8

MAX_CLAMPED_PX = 2048
"""Longest side of an image with the edges that clamping adds; beyond, its resolution is reduced."""
MAX_CLAMPED_RANGE = 16.0
"""How many images wide coordinates may be that clamp: of more, hardly a texel per image would be left."""
_EDGE = 1e-3
"""Coordinates that leave 0 to 1 by less show nothing else."""


class Wrap(Enum):
    """What a texture shows beyond its edge."""

    REPEAT = "repeated"
    CLAMP = "clamped"
    MIRROR = "mirrored"


@dataclass(frozen=True, kw_only=True)
class WrapModes:
    """What a texture shows beyond its edges to the sides, and above and below."""

    u: Wrap = Wrap.REPEAT
    v: Wrap = Wrap.REPEAT


def unwrapped(texture: UInt8, uv: Float64, modes: WrapModes) -> tuple[UInt8, Float64] | None:
    """A texture and coordinates that show the same when the image is repeated.

    Args:
        texture: RGB ``(H, W, 3)``, row 0 on top.
        uv: Coordinates, v upwards, ``(N, 2)``.
        modes: What the texture shows beyond its edges.

    Returns:
        Both as given where no coordinate leaves the image; None where a clamped image would grow too large.
    """
    uv = uv.copy()
    image: NDArray[np.uint8] = texture
    for axis, mode in ((0, modes.u), (1, modes.v)):
        if mode is Wrap.REPEAT or not len(uv):
            continue
        low, high = float(uv[:, axis].min()), float(uv[:, axis].max())
        if low >= -_EDGE and high <= 1.0 + _EDGE:
            continue
        # Columns run to the right with u. Rows run downwards, so they are turned around while v is treated.
        rows = image.transpose(1, 0, 2) if axis == 0 else image[::-1]
        if mode is Wrap.MIRROR:
            rows, uv[:, axis] = np.concatenate([rows, rows[::-1]]), uv[:, axis] / 2.0
        else:
            before, after = max(-low, 0.0), max(high - 1.0, 0.0)
            if before + 1.0 + after > MAX_CLAMPED_RANGE:
                return None
            rows, uv[:, axis] = _clamped(rows, uv[:, axis], before, after)
        image = rows.transpose(1, 0, 2) if axis == 0 else rows[::-1]
    return np.ascontiguousarray(image), uv


def _clamped(rows: UInt8, t: Float64, before: float, after: float) -> tuple[UInt8, Float64]:
    """An image with its first and last rows repeated outwards, and the coordinates ``(N,)`` along them in it."""
    count = min(len(rows), max(int(MAX_CLAMPED_PX / (before + 1.0 + after)), 1))
    rows = _with_rows(rows, count)
    # One row more on either side: repeating blends the outermost with each other.
    first, last = int(np.ceil(before * count)) + 1, int(np.ceil(after * count)) + 1
    padded = np.pad(rows, ((first, last), (0, 0), (0, 0)), mode="edge")
    return padded, (t * count + first) / len(padded)


def _with_rows(rows: UInt8, count: int) -> UInt8:
    """The image reduced to so many rows."""
    if count == len(rows):
        return rows
    from PIL import Image

    size = (rows.shape[1], count)
    return np.asarray(Image.fromarray(np.ascontiguousarray(rows)).resize(size, Image.Resampling.BOX), dtype=np.uint8)
