"""Things that the image's edge cuts off, as candidates: what is left of them, if its colours are the object's.

The silhouette of half a thing fits few templates, and the segmenter marks little of it. But what is left stands out
of the table as one surface, parted from others by steps in depth, and its colours are known.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.camera import back_project
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.kernels.segment_inputs.colour_fit import colour_fit
from storm_edge.kernels.segment_inputs.colour_model import ColourModel
from storm_edge.pipeline.segment.config import CutOffConfig
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box

Bool = NDArray[np.bool_]

_EXTENT_POINTS = 800  # fixed: percentiles of more are the same


def cut_off_candidates(
    image: ImageFeatures, colours: ColourModel, diameter_m: float, least_plane_distance_m: float, config: CutOffConfig
) -> list[Candidate]:
    """Surfaces at the image's edge that may be the rest of an object, those that fit its colours best first.

    Args:
        image: The frame, for this object.
        colours: The object's colours.
        diameter_m: Its diameter [m].
        least_plane_distance_m: Distance from the large planes from which a place stands out [m].
        config: What is one surface, and which are worth trying.
    """
    fits: list[tuple[float, Bool]] = []
    for mask in _surfaces(image.frame, image.stands_out(least_plane_distance_m), diameter_m, config):
        fit = colour_fit(image.small, colours, mask)
        if fit >= config.min_colour_fit:
            fits.append((fit, mask))
    fits.sort(key=lambda one: -one[0])
    return [
        Candidate(mask=mask, grown=mask, score=config.promised_overlap, box=bounding_box(mask)) for _, mask in fits
    ]


def _surfaces(frame: Frame, stands_out: Bool, diameter_m: float, config: CutOffConfig) -> Iterator[Bool]:
    """Masks ``(H, W)`` of the connected surfaces that reach the image's edge and are no larger than the object."""
    z = frame.depth_m
    whole = stands_out & (z > 0.0) & ~_steps(frame, diameter_m, config)
    square = np.ones((3, 3), np.uint8)  # fixed: parts what single pixels join
    opened = cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, square)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(opened)
    height, width = frame.size_px
    for label in range(1, count):
        left, top, columns, rows, area = boxes[label].tolist()
        beyond = min(left, top, width - left - columns, height - top - rows)
        if area < config.min_mask_px or beyond > config.edge_px:
            continue
        v, u = marked_pixels(labels[top : top + rows, left : left + columns] == label)
        every = max(len(v) // _EXTENT_POINTS, 1)
        v, u = v[::every] + top, u[::every] + left
        points = back_project(frame.K, np.stack([u, v], axis=1), z[v, u])
        low, high = np.percentile(points, config.extent_percentiles, axis=0)
        if np.linalg.norm(high - low) <= config.max_extent_diameters * diameter_m:
            yield labels == label


def _steps(frame: Frame, diameter_m: float, config: CutOffConfig) -> Bool:
    """Where one surface ends and another begins: depth changes by more than noise and slope explain ``(H, W)``."""
    z = frame.depth_m
    most_m = np.maximum(np.float32(config.step_share) * z, np.float32(config.step_diameters * diameter_m))
    steps = np.zeros(z.shape, dtype=bool)
    steps[:, 1:] |= np.abs(z[:, 1:] - z[:, :-1]) > most_m[:, 1:]
    steps[1:] |= np.abs(z[1:] - z[:-1]) > most_m[1:]
    return steps
