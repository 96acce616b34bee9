"""Local search: a mask of the object around its last trusted pose, from the colours that tracking learned.

A lost object is mostly still close. Before the whole image is searched, the pixels near the last pose, at a depth
that the object could have reached, whose colour speaks for the object, are gathered into one mask; registration then
says whether that was the object. No network, a few milliseconds.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import project
from storm_edge.kernels.contour_region import log_odds_of
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.config import LocalSearchConfig

Float64 = NDArray[np.float64]


def local_search_mask(
    frame: FrameBuffers,
    colour_log_odds: NDArray[np.float32],
    T_cam_centre: Float64,
    diameter_m: float,
    *,
    config: LocalSearchConfig,
) -> NDArray[np.bool_] | None:
    """Pixels that may be the object, bool ``(H, W)``; None where nothing speaks for it.

    Args:
        frame: The image.
        colour_log_odds: Log of foreground over background probability per colour bin, ``(BIN_COUNT,)``, see
            `kernels.contour_region`.
        T_cam_centre: The last trusted pose, ``(4, 4)``.
        diameter_m: Of the object.
        config: Where to search.
    """
    height, width = frame.size_px
    t = T_cam_centre[:3, 3]
    u, v = project(frame.K, t)
    focal_px = float(frame.K[0, 0])
    reach_px = config.reach_diameters * diameter_m * focal_px / t[2]
    x0, x1 = int(np.clip(u - reach_px, 0, width)), int(np.clip(u + reach_px + 1, 0, width))
    y0, y1 = int(np.clip(v - reach_px, 0, height)), int(np.clip(v + reach_px + 1, 0, height))
    if x1 - x0 < config.smooth_px or y1 - y0 < config.smooth_px:
        return None
    depth = frame.depth.numpy()[y0:y1, x0:x1]
    odds = log_odds_of(frame.rgb.numpy()[y0:y1, x0:x1], colour_log_odds)
    reachable = (depth > 0.0) & (np.abs(depth - t[2]) < config.reach_diameters * diameter_m)
    likely = (cv2.blur(np.where(reachable, odds, 0.0), (config.smooth_px, config.smooth_px)) > 0.0) & reachable
    opened = cv2.morphologyEx(likely.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))

    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    gap_px = max(int(config.joint_gap_diameters * diameter_m * focal_px / t[2]), 1)
    around = cv2.dilate((labels == largest).astype(np.uint8), np.ones((2 * gap_px + 1, 2 * gap_px + 1), np.uint8))
    joined = np.isin(labels, np.unique(labels[(around > 0) & (labels > 0)]))
    disc_px = np.pi / 4.0 * (diameter_m * focal_px / t[2]) ** 2  # fixed: area of a disc
    if joined.sum() < config.min_area_share * disc_px:
        return None
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = joined
    return mask
