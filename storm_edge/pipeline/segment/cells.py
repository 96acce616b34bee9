"""The cells of a coarse map in 3D: what is known of each that lies in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.object_channels import BITS_SCALE
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame

Float32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Cells:
    """N cells of two by two working pixels, those of the letterbox's empty margin left out."""

    probability: Float32
    """That the object is seen there ``(N,)``."""
    points_m: Float32
    """What was measured there, in the camera frame [m] ``(N, 3)``; zeros without a reading."""
    rays: Float32
    """x and y at a depth of 1 ``(N, 2)``."""
    colour_bits: Float32
    """Log2 density of its colour under the object's [bits] ``(N,)``."""
    chroma_bits: Float32
    """The same of its chroma."""

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """Where there is a reading ``(N,)``."""
        return np.asarray(self.points_m[:, 2] > 0.0)

    @property
    def surface(self) -> Float32:
        """How much of a surface is probably the object's, in any unit ``(N,)``: a cell far away stands for more."""
        return np.asarray(self.probability * self.points_m[:, 2] ** 2)

    def within(self, centre_m: NDArray[np.floating], radius_m: float) -> NDArray[np.int64]:
        """Which cells are in a sphere around a point [m] ``(3,)``; without a reading, as if as far away as it."""
        off = ((self.points_m - centre_m) ** 2).sum(axis=1)
        unread = ((self.rays * centre_m[2] - centre_m[:2]) ** 2).sum(axis=1)
        return np.flatnonzero(np.where(self.is_read, off, unread) < radius_m**2)


def cells_of(small: SmallFrame, probability: Float32, channels: Float32) -> Cells:
    """The cells of a map.

    Args:
        small: The frame at the working size.
        probability: The map ``(60, 80)``.
        channels: Object channels ``(5, 60, 80)`` of `kernels.segment_inputs`.
    """
    rows, columns = (slice(-(-s.start // 2), s.stop // 2) for s in small.letterbox.window)
    depth_m = _first_reading(small.depth_m)[rows, columns]
    v, u = np.mgrid[rows, columns].astype(np.float32)
    # The middle of a cell lies between its working pixels.
    x, y = (2.0 * u + 0.5 - small.K[0, 2]) / small.K[0, 0], (2.0 * v + 0.5 - small.K[1, 2]) / small.K[1, 1]
    rays = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
    z = depth_m.reshape(-1, 1)
    return Cells(
        probability=probability[rows, columns].reshape(-1),
        points_m=np.concatenate([rays * z, z], axis=1),
        rays=rays,
        colour_bits=channels[0, rows, columns].reshape(-1) * np.float32(BITS_SCALE),
        chroma_bits=channels[2, rows, columns].reshape(-1) * np.float32(BITS_SCALE),
    )


def _first_reading(depth_m: Float32) -> Float32:
    """The first reading in every block of 2x2 of ``(H, W)``, 0 where there is none: measured depth, no mixture."""
    corners = np.stack([depth_m[a::2, b::2] for a in (0, 1) for b in (0, 1)])
    return np.asarray(np.take_along_axis(corners, (corners > 0.0).argmax(axis=0)[None], axis=0)[0])
