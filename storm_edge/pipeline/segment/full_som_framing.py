"""How an image is brought to the square that STORM's SOM takes, and how its logits come back to the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storm_edge.choices import Framing
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD

Float32 = NDArray[np.float32]

SIZE_PX = 224  # fixed: the network's input
"""Side of the pictures that the encoder is given [px]."""
_MASK_PX = 64  # fixed: the network's output
_UPSTREAM_PX = 256  # fixed: to which upstream brings the short side before it crops


@dataclass(frozen=True, kw_only=True)
class _Placement:
    """A rectangle of the image and where it lies in the square."""

    source: tuple[float, float, float, float]
    """``(x0, y0, x1, y1)`` [px], edges of pixels."""
    target: tuple[int, int, int, int]
    """Left, top, width, height in the square [px]."""


def _placement(framing: Framing, size_px: tuple[int, int]) -> _Placement:
    height, width = size_px
    if framing is Framing.LETTERBOX:
        scale = SIZE_PX / max(size_px)
        w, h = max(round(width * scale), 1), max(round(height * scale), 1)
        return _Placement(source=(0, 0, width, height), target=((SIZE_PX - w) // 2, (SIZE_PX - h) // 2, w, h))
    side = min(size_px)
    x, y = (width - side) / 2, (height - side) / 2
    return _Placement(source=(x, y, x + side, y + side), target=(0, 0, SIZE_PX, SIZE_PX))


def _normalised(picture: NDArray[np.uint8]) -> Float32:
    return np.asarray((picture.astype(np.float32) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD, dtype=np.float32)


def square_image(rgb: NDArray[np.uint8], framing: Framing = Framing.LETTERBOX) -> Float32:
    """The encoder's input for an image, ``(1, 3, 224, 224)``, normalised.

    Args:
        rgb: Image, shape ``(H, W, 3)``.
        framing: How it is brought to a square.
    """
    height, width = rgb.shape[:2]
    if framing is Framing.UPSTREAM:
        short = min(height, width)
        size = (_UPSTREAM_PX * width // short, _UPSTREAM_PX * height // short)
        left, top = (round((n - _UPSTREAM_PX) / 2) for n in size)
        resized = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
        crop = _normalised(resized[top : top + _UPSTREAM_PX, left : left + _UPSTREAM_PX])
        planes = [
            np.asarray(Image.fromarray(crop[..., c]).resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC))
            for c in range(3)  # fixed: red, green, blue
        ]
        return np.stack(planes)[None]
    place = _placement(framing, (height, width))
    x, y, w, h = place.target
    resized = np.asarray(Image.fromarray(rgb).resize((w, h), Image.Resampling.BICUBIC, box=place.source))
    square = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.float32)  # zero is the mean colour
    square[y : y + h, x : x + w] = _normalised(resized)
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None])


def image_logits(logits: Float32, size_px: tuple[int, int], framing: Framing = Framing.LETTERBOX) -> Float32:
    """SOM's logits of the square as logits of the image, ``(H, W)``; minus infinity outside its square.

    Args:
        logits: Of ``som_head``, ``(64, 64)``.
        size_px: Height and width of the image.
        framing: How it was brought to the square.
    """
    height, width = size_px
    if framing is Framing.UPSTREAM:
        middle = cv2.resize(logits, (_UPSTREAM_PX, _UPSTREAM_PX), interpolation=cv2.INTER_LINEAR)
        return np.asarray(Image.fromarray(middle).resize((width, height), Image.Resampling.NEAREST))
    place = _placement(framing, size_px)
    x0, y0, x1, y1 = place.source
    x, y, w, h = place.target
    cell = _MASK_PX / SIZE_PX
    # Edges of pixels map to edges of cells; centres, which are on integers, are half a unit off on both sides.
    su, sv = w / (x1 - x0) * cell, h / (y1 - y0) * cell
    affine = np.array(
        [
            [su, 0.0, (0.5 - x0) * su + x * cell - 0.5],
            [0.0, sv, (0.5 - y0) * sv + y * cell - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(logits, affine, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    seen = np.zeros(size_px, dtype=bool)
    seen[int(np.ceil(y0 - 0.5)) : int(np.ceil(y1 - 0.5)), int(np.ceil(x0 - 0.5)) : int(np.ceil(x1 - 0.5))] = True
    return np.where(seen, found, np.float32(-np.inf))
