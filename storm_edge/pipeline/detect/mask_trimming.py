"""Cuts off a candidate's mask what the model, at the pose that was found, cannot be."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.detect.config import MaskTrimmingConfig
from storm_edge.pipeline.detect.detection import Detection


def trim_mask(detection: Detection, config: MaskTrimmingConfig) -> NDArray[np.bool_]:
    """The candidate's mask without what lies clear of the model at the pose that was found, ``(H, W)``.

    A mask from colours takes in the hand that holds the object; a registration that must cover the hand too turns the
    object towards it.
    """
    mask = detection.candidate.mask
    x0, y0, x1, y1 = detection.candidate.box
    margin_px = max(int(config.margin_share * max(x1 - x0, y1 - y0)), config.min_margin_px)
    kernel = np.ones((2 * margin_px + 1, 2 * margin_px + 1), dtype=np.uint8)
    near = cv2.dilate(detection.mask.astype(np.uint8), kernel) > 0
    trimmed = mask & near
    return trimmed if trimmed.sum() > config.min_kept_share * mask.sum() else mask
