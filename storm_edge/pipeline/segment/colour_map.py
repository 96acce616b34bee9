"""A map of probabilities from colours and depth alone, without learning."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.segment.config import ColourMapConfig
from storm_edge.pipeline.segment.sigmoid import sigmoid

Float32 = NDArray[np.float32]


def colour_probability(channels: Float32, config: ColourMapConfig) -> Float32:
    """A guess without learning, ``(60, 80)``: colours that are the object's rather than the scene's, off the planes.

    Args:
        channels: Object channels ``(5, 60, 80)``.
        config: Weights.
    """
    colour_bits = config.contrast_weight * channels[1] + config.chroma_weight * channels[2]
    bits = cv2.blur(colour_bits, (config.smooth_px, config.smooth_px))
    distance = channels[4] / np.float32(config.plane_distance_diameters)
    off_plane = np.clip(distance, 0.0, 1.0)  # 0 on a table or wall
    return sigmoid(config.slope * (bits - config.even_bits) - config.plane_penalty * (1.0 - off_plane))
