"""Images of masks on their frame: tinted surface, outline, and a line of text per object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.replay.drawing.images import WHITE, darken_top, put_text, text_width_px

UInt8 = NDArray[np.uint8]

PALETTE = ((60, 215, 120), (70, 150, 255), (255, 180, 40), (235, 90, 200), (90, 220, 230), (240, 90, 70))
"""RGB by the object's place in the list; more objects begin anew."""

_OPACITY = 0.4


@dataclass(frozen=True, kw_only=True)
class DrawnMask:
    """What a picture says of one object."""

    mask: NDArray[np.bool_] | None
    """Its pixels ``(H, W)``; None draws the text alone."""
    text: str
    """Its line."""


def paint_masks(rgb: UInt8, items: Sequence[DrawnMask], *, note: str = "") -> UInt8:
    """The image with masks drawn on it, RGB ``(H, W, 3)``.

    Args:
        rgb: The image ``(H, W, 3)``.
        items: One per object, in their order.
        note: Text on the right of the first line.
    """
    picture: UInt8 = np.array(rgb)
    for index, item in enumerate(items):
        if item.mask is not None:
            colour = PALETTE[index % len(PALETTE)]
            tinted = picture[item.mask] * (1.0 - _OPACITY) + np.array(colour) * _OPACITY
            picture[item.mask] = tinted.astype(np.uint8)
            outline, _ = cv2.findContours(item.mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.polylines(picture, list(outline), True, colour, 2, cv2.LINE_AA)
    scale = picture.shape[1] / 640.0
    line_px = max(12, round(20 * scale))
    font_size = 0.5 * scale
    darken_top(picture, line_px * max(1, len(items)) + round(6 * scale))
    for index, item in enumerate(items):
        y = round((index + 1) * line_px - 4 * scale)
        put_text(picture, item.text, (round(8 * scale), y), font_size, PALETTE[index % len(PALETTE)])
    x = picture.shape[1] - text_width_px(note, font_size) - round(8 * scale)
    put_text(picture, note, (x, round(line_px - 4 * scale)), font_size, WHITE)
    return picture
