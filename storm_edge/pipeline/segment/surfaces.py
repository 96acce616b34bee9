"""Surfaces between steps in depth as candidates, if their colours are the object's.

The silhouette of a thing that is half hidden, or that the image's edge cuts off, fits few templates, and the
segmenter marks little of it. But what is left stands out of the table as one surface, parted from others by steps in
depth, and its colours are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.camera import back_project
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.kernels.segment_inputs.colour_fit import colour_fit
from storm_edge.kernels.segment_inputs.colour_model import ColourModel
from storm_edge.pipeline.segment.config import ProposalConfig, SurfaceConfig
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.proposals import candidate_at_seed
from storm_edge.pipeline.segment.segmentation import Candidate

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]

_MIDDLE_POINTS = 800  # fixed: the median of more is the same


def surface_candidates(
    image: ImageFeatures,
    colours: ColourModel,
    diameter_m: float,
    proposals: ProposalConfig,
    config: SurfaceConfig,
) -> Iterator[Candidate]:
    """Surfaces that may be an object or a part of it, those that fit its colours best first.

    Args:
        image: The frame, for this object.
        colours: The object's colours.
        diameter_m: Its diameter [m].
        proposals: From which distance to the large planes a place stands out, and how far what touches a surface
            belongs to it.
        config: What is one surface, and which are worth trying.
    """
    stands_out = image.stands_out(proposals.min_plane_distance_diameters * diameter_m)
    fits: list[tuple[float, Bool, Float64]] = []
    for mask, middle in _surfaces(image.frame, stands_out, diameter_m, config):
        fit = colour_fit(image.small, colours, mask)
        least = config.min_colour_fit_at_edge if _is_cut_off(mask, config.edge_px) else config.min_colour_fit
        if fit >= least:
            fits.append((fit, mask, middle))
    for _, mask, middle in sorted(fits, key=lambda one: -one[0]):
        marked = mask.astype(np.float32)
        made = candidate_at_seed(image.frame, marked, stands_out, middle, diameter_m, proposals)
        if made is not None:
            # With what touches it: the surface alone may be half a mug without its handle, and fits many sides.
            yield replace(made, mask=made.grown, score=config.promised_overlap)


def _surfaces(
    frame: Frame, stands_out: Bool, diameter_m: float, config: SurfaceConfig
) -> Iterator[tuple[Bool, Float64]]:
    """Masks ``(H, W)`` of connected surfaces that are no larger than the object, and their middles [m] ``(3,)``."""
    z = frame.depth_m
    whole = stands_out & (z > 0.0) & ~_steps(frame, diameter_m, config)
    square = np.ones((3, 3), np.uint8)  # fixed: parts what single pixels join
    opened = cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, square)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(opened)
    for label in range(1, count):
        left, top, columns, rows, area = boxes[label].tolist()
        if area < config.min_mask_px:
            continue
        v, u = marked_pixels(labels[top : top + rows, left : left + columns] == label)
        v, u = v + top, u + left
        points = back_project(frame.K, np.stack([u, v], axis=1), z[v, u])
        middle = np.median(points[:: max(area // _MIDDLE_POINTS, 1)], axis=0)
        is_near = np.linalg.norm(points - middle, axis=1) <= config.max_reach_diameters * diameter_m
        if np.count_nonzero(is_near) >= config.min_near_share * area:
            mask = np.zeros(z.shape, dtype=bool)
            mask[v[is_near], u[is_near]] = True
            yield mask, middle


def _is_cut_off(mask: Bool, edge_px: int) -> bool:
    """Whether a mask ``(H, W)`` comes near to the image's edge."""
    inner = mask[edge_px + 1 : -edge_px - 1, edge_px + 1 : -edge_px - 1]
    return bool(np.count_nonzero(inner) < np.count_nonzero(mask))


def _steps(frame: Frame, diameter_m: float, config: SurfaceConfig) -> Bool:
    """Where one surface ends and another begins: depth changes by more than noise and slope explain ``(H, W)``."""
    z = frame.depth_m
    most_m = np.maximum(np.float32(config.step_share) * z, np.float32(config.step_diameters * diameter_m))
    steps = np.zeros(z.shape, dtype=bool)
    steps[:, 1:] |= np.abs(z[:, 1:] - z[:, :-1]) > most_m[:, 1:]
    steps[1:] |= np.abs(z[1:] - z[:-1]) > most_m[1:]
    return steps
