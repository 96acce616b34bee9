"""How well the colours of placed templates agree with a frame: what ranks places that shape alone cannot tell apart.

Light and camera change colours by a gain per channel. So it counts how unlike those gains are, beyond what white
balance does, and how the pattern of a template goes with that of the image, as far as it has one. Both are bounded:
an object whose colours the model has wrong is still placed by its shape.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.templates.config import MatchConfig
from storm_edge.pipeline.templates.matched_image import MatchedImage
from storm_edge.pipeline.templates.views import ShapeTemplates

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def colour_worths(
    templates: ShapeTemplates, view: Int64, centre: Float32, image: MatchedImage, gate_m: float, config: MatchConfig
) -> Generator[str, None, Float32]:
    """What colours add to the scores of N placements, in bounded chunks of work.

    Args:
        templates: Of the object.
        view: Which template is placed, ``(N,)``.
        centre: Where, in the camera's frame [m] ``(N, 3)``.
        image: The frame.
        gate_m: Depths that differ by more are of something else [m].
        config: Weights and bounds.

    Returns:
        ``(N,)``; 0 where too little of a template is seen.
    """
    worths = np.zeros(len(view), dtype=np.float32)
    for start in range(0, len(view), config.colour_chunk):
        part = slice(start, start + config.colour_chunk)
        observed, seen = _observed(templates.surface[view[part]] + centre[part, None], image, gate_m)
        worths[part] = _worths(templates.colours[view[part]], observed, seen, config)
        yield "templates"
    return worths


def _observed(points: Float32, image: MatchedImage, gate_m: float) -> tuple[Float32, Float32]:
    """Colours of the frame at points ``(N, S, 3)`` [m], and 1 where what is seen there may be they ``(N, S, 1)``."""
    height, width = image.depth_m.shape
    K, z = image.K.astype(np.float32), np.maximum(points[..., 2], np.float32(1e-3))
    u, v = (np.rint(K[i, i] * points[..., i] / z + K[i, 2]).astype(np.int64) for i in (0, 1))
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    at = np.where(inside, v * width + u, 0)
    measured = image.depth_m.ravel()[at]
    seen = inside & ((measured == 0.0) | (np.abs(measured - z) < np.float32(gate_m)))
    return image.rgb.reshape(-1, 3)[at], seen[..., None].astype(np.float32)


def _worths(model: Float32, observed: Float32, seen: Float32, config: MatchConfig) -> Float32:
    """As `colour_worths`, of colours ``(N, S, 3)`` and what counts of them ``(N, S, 1)``."""
    count = np.maximum(seen.sum(axis=(1, 2)), 1.0)
    ours = model * seen
    floor = np.float32(config.gain_floor) * count[:, None]
    gains = ((ours * observed).sum(axis=1) + floor) / ((ours * ours).sum(axis=1) + floor)
    imbalance = np.log(gains.max(axis=1) / gains.min(axis=1))
    apart, off = ((of - ((of * seen).sum(axis=1) / count[:, None])[:, None]) * seen for of in (model, observed))
    contrast, theirs = (np.sqrt((of * of).sum(axis=(1, 2)) / count) for of in (apart, off))
    agreement = (apart * off).sum(axis=(1, 2)) / count / (contrast * theirs + np.float32(config.contrast_floor))
    pattern = agreement * np.minimum(contrast / np.float32(config.full_contrast), 1.0)
    worths = config.pattern_weight * pattern - config.imbalance_weight * np.minimum(imbalance, config.max_imbalance)
    return np.where(count < config.min_coloured_points, 0.0, worths).astype(np.float32)
