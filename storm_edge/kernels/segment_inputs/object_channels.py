"""Object channels: how well each place of an image fits an object by colour, size and distance from the planes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.colour_model import ColourModel
from storm_edge.kernels.segment_inputs.contract import OBJECT_CHANNELS, SIZE_PX
from storm_edge.kernels.segment_inputs.letterbox import halved
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame

Float32 = NDArray[np.float32]

EVEN_DIAMETER_PX = 24.0
"""Apparent diameter at the working size at which the size channel is 0 [px]."""
UNKNOWN_PLANE_DISTANCE = 0.5
"""Distance from the planes where nothing is known [diameters]."""
MAX_PLANE_DISTANCE = 2.0
"""Distances from the planes count no more than this [diameters]."""
BITS_SCALE = 8.0
"""Log2 densities are divided by this."""
CONTRAST_FLOOR, CONTRAST_LIMIT, CONTRAST_SCALE = 0.1, 8.0, 4.0
"""Added to both densities before they are compared; most log2 of their ratio; and what that is divided by."""
MIN_DEPTH_M, SIZE_LIMIT = 0.05, 3.0
"""Least depth that counts for the apparent size [m]; most log2 of the size over `EVEN_DIAMETER_PX`."""


def object_channels(frame: SmallFrame, colours: ColourModel, diameter_m: float) -> Float32:
    """How well each place fits the object, ``(5, 60, 80)``.

    Args:
        frame: The image.
        colours: The object's colours.
        diameter_m: The object's diameter.
    """
    likely = colours.rgb.reshape(-1)[frame.rgb_bins]
    out = np.zeros((OBJECT_CHANNELS, *SIZE_PX), dtype=np.float32)
    out[0] = np.log2(1.0 + likely) / np.float32(BITS_SCALE)
    contrast = np.log2((likely + CONTRAST_FLOOR) / (frame.scene_density + CONTRAST_FLOOR))
    out[1] = np.clip(contrast, -CONTRAST_LIMIT, CONTRAST_LIMIT) / np.float32(CONTRAST_SCALE)
    out[2] = np.log2(1.0 + colours.chroma.reshape(-1)[frame.chroma_bins]) / np.float32(BITS_SCALE)
    z = frame.depth_m
    apparent_px = np.float32(diameter_m * frame.K[0, 0]) / np.maximum(z, np.float32(MIN_DEPTH_M))
    out[3] = np.where(
        z > 0.0, np.clip(np.log2(apparent_px / EVEN_DIAMETER_PX), -SIZE_LIMIT, SIZE_LIMIT), np.float32(0.0)
    )
    distance = np.minimum(frame.plane_distance_m * np.float32(1.0 / diameter_m), np.float32(MAX_PLANE_DISTANCE))
    out[4] = np.where(frame.plane_distance_m >= 0.0, distance, np.float32(UNKNOWN_PLANE_DISTANCE))
    rows, columns = frame.letterbox.window
    whole = np.zeros_like(out)
    whole[:, rows, columns] = out[:, rows, columns]
    return halved(whole)
