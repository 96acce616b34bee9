"""Network input tensors in NumPy, see `storm_edge.kernels.network_input`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]


def network_input(
    colour: NDArray[np.floating],
    xyz: NDArray[np.floating],
    t: ArrayLike,
    *,
    diameter_m: float,
    min_z_m: float,
    limit: float,
) -> Float64:
    """RGB and normalised points, ``(6, S, S)``.

    Args:
        colour: RGB in [0, 1], ``(S, S, 3)``.
        xyz: Camera-frame points [m], z = 0 where there is none, ``(S, S, 3)``.
        t: Translation of the pose [m], ``(3,)``.
        diameter_m: Diameter of the object [m].
        min_z_m: Points nearer than this are none [m].
        limit: A normalised coordinate of this size or more becomes 0, on its own.
    """
    points = (np.asarray(xyz, dtype=np.float64) - np.asarray(t)) / (diameter_m / 2.0)
    points[xyz[..., 2] < min_z_m] = 0.0
    points[np.abs(points) >= limit] = 0.0
    return np.concatenate([colour, points], axis=-1).transpose(2, 0, 1)
