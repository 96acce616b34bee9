"""Whether an object at a pose stands or lies on a large plane: most objects do, and hardly any wrong pose.

A wrong pose has another size, place or side than what is there: its lowest point is above the table or below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.planes import Plane
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame
from storm_edge.pipeline.detect.config import StandingConfig

Float64 = NDArray[np.float64]


def standing(
    vertices: NDArray[np.floating],
    T_cam_centre: Float64,
    frame: SmallFrame,
    diameter_m: float,
    config: StandingConfig,
) -> float:
    """How well an object stands on one of the large planes in view, 0..1: 1 where its lowest point is on it.

    What is behind the camera stands on nothing that is seen.

    Args:
        vertices: Of the centred mesh [m] ``(V, 3)``.
        T_cam_centre: Its pose [m] ``(4, 4)``.
        frame: The image at the working size, with its planes.
        diameter_m: Of the object [m].
        config: How near is on it.
    """
    R, t = T_cam_centre[:3, :3], T_cam_centre[:3, 3]
    if t[2] <= 0.0:
        return 0.0
    noise_m = config.noise_m + config.noise_per_m * float(t[2]) ** 2
    deviation_m = float(np.hypot(config.gap_diameters * diameter_m, noise_m))
    best = 0.0
    for plane in frame.planes:
        up = plane.normal if plane.offset_m > 0.0 else -plane.normal  # towards the camera
        height_m = vertices @ (R.T @ up)
        gap_m = float(height_m.min() + up @ t) + abs(plane.offset_m)
        likely = float(np.exp(-0.5 * (gap_m / deviation_m) ** 2))
        near_m = 2.0 * deviation_m  # fixed: holds nearly all that is measured of a plane
        if likely > best and _is_seen_at(plane, t, frame, diameter_m, near_m, config):
            best = likely
    return best


def _is_seen_at(
    plane: Plane, middle: Float64, frame: SmallFrame, diameter_m: float, near_m: float, config: StandingConfig
) -> bool:
    """Whether the plane is measured around a point: a table ends somewhere."""
    K, (height, width) = frame.K, frame.depth_m.shape
    reach_m = config.reach_diameters * diameter_m
    reach_px = reach_m * max(K[0, 0], K[1, 1]) / middle[2]
    at_px = K[:2, :2] @ middle[:2] / middle[2] + K[:2, 2]
    low = np.clip(np.floor(at_px - reach_px), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(at_px + reach_px) + 1, 0, [width, height]).astype(int)
    z = frame.depth_m[low[1] : high[1], low[0] : high[0]]
    x = (np.arange(low[0], high[0]) - K[0, 2]) / K[0, 0] * z
    y = ((np.arange(low[1], high[1]) - K[1, 2]) / K[1, 1])[:, None] * z
    normal = plane.normal
    gap_m = np.abs(normal[0] * x + normal[1] * y + normal[2] * z + plane.offset_m)
    is_around = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 + (z - middle[2]) ** 2 < reach_m**2
    return int(np.count_nonzero((z > 0.0) & (gap_m < near_m) & is_around)) >= config.min_plane_px
