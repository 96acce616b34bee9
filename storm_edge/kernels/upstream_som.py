"""How an image gets into STORM's segmenter and a mask out of it again (reference-networks 2.1 and 2.6).

The network sees 224 px squares. Upstream shrinks the short side to 256, cuts out the centre, shrinks again to 224,
and on the way back stretches the square over the whole frame, which puts the mask in the wrong place on any image that is
not square. `Geometry` keeps that as a preset beside two that are right.
"""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
ByteImage = NDArray[np.uint8]

INPUT_PX = 224
"""Side of what the network sees [px]."""
_SHORT_PX = 256
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Geometry(str, Enum):
    """Which part of the image the network sees, and where its mask goes."""

    LETTERBOX = "letterbox"
    """The whole image with borders; the mask in its place."""
    CENTRE = "centre"
    """Upstream's square in the centre, which the network was trained on; the mask in its place."""
    UPSTREAM = "upstream"
    """Upstream's square, its mask stretched over the whole image as upstream does; for parity only."""


def network_input(rgb: ByteImage, geometry: Geometry) -> Float32:
    """An image as the network wants it, normalised, ``(3, 224, 224)``.

    Args:
        rgb: ``(H, W, 3)``.
        geometry: Which part of it.
    """
    height, width = rgb.shape[:2]
    if geometry is Geometry.LETTERBOX:
        square = np.full((INPUT_PX, INPUT_PX, 3), 128, dtype=np.uint8)
        scale = INPUT_PX / max(height, width)
        h, w = max(round(height * scale), 1), max(round(width * scale), 1)
        top, left = (INPUT_PX - h) // 2, (INPUT_PX - w) // 2
        square[top : top + h, left : left + w] = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)
    else:
        scale = _SHORT_PX / min(height, width)
        size = (max(round(width * scale), _SHORT_PX), max(round(height * scale), _SHORT_PX))
        # OpenCV's cubic does not average when it shrinks, Pillow's does; the area filter is the nearer one.
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC)
        top, left = (size[1] - _SHORT_PX) // 2, (size[0] - _SHORT_PX) // 2
        square = small[top : top + _SHORT_PX, left : left + _SHORT_PX]
        square = cv2.resize(square, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
    normalised = (square.astype(np.float32) / np.float32(255.0) - _MEAN) / _STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def mask_to_image(logits: Float32, size_px: tuple[int, int], geometry: Geometry) -> Float32:
    """A map of the network ``(S, S)`` at image size ``(H, W)``, bilinear; very negative where the network was blind.

    Args:
        logits: The map.
        size_px: Height and width of the image [px].
        geometry: How the image went in.
    """
    height, width = size_px
    side = logits.shape[0]
    if geometry is Geometry.UPSTREAM:
        return np.asarray(cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    seen = max(height, width) if geometry is Geometry.LETTERBOX else min(height, width)
    cells = side / seen  # per image pixel
    A = np.array(
        [
            [cells, 0.0, (0.5 - width / 2.0) * cells + side / 2.0 - 0.5],
            [0.0, cells, (0.5 - height / 2.0) * cells + side / 2.0 - 0.5],
        ]
    )
    out = cv2.warpAffine(
        logits, A, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    outside = np.ones(size_px, dtype=bool)
    margin_v, margin_u = max((height - seen) // 2, 0), max((width - seen) // 2, 0)
    outside[margin_v : height - margin_v, margin_u : width - margin_u] = False
    return np.asarray(np.where(outside, np.float32(-30.0), out), dtype=np.float32)
