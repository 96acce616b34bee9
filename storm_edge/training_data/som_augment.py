"""How STORM's trainer changes a picture and its mask before they are cropped, and after (reference-networks 2.9).

Colours, blur, mirroring, turn, scale and shear on the whole picture, then the crop of `square_image`, then a noisy
rectangle that hides part of picture and mask. The rules are those of the usual torchvision transforms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from storm_edge.choices import Framing
from storm_edge.pipeline.segment.full_som_framing import SIZE_PX, square_image

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

MASK_PX = 256
"""Side of the masks that are trained on [px]: the square before the encoder's resize."""
_HUES = 255.0
_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class SomAugment:
    """Strengths; the defaults are those of upstream's loader."""

    brightness: float = 0.3
    """Factors of brightness, contrast and saturation are drawn from one minus to one plus this."""
    hue: float = 0.1
    """Turns of hue [turns], either way."""
    blur_share: float = 0.5
    """Pictures that are blurred."""
    blur_px: tuple[int, int] = (5, 9)
    """Width and height of the kernel [px]."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Its standard deviation [px]."""
    mirror_share: float = 0.5
    """Pictures that are mirrored."""
    turn_deg: float = 180.0
    """Turns of the picture, either way [deg]."""
    scale: tuple[float, float] = (0.95, 1.05)
    """Factors of size."""
    shear_deg: tuple[float, float] = (25.0, 25.0)
    """Shear along x [deg]. Upstream's two numbers are the ends of a range, so that every picture is sheared by 25."""
    erase_share: float = 0.5
    """Pictures part of which is hidden."""
    erase_area: tuple[float, float] = (0.02, 0.1)
    """Size of that part, of the picture."""
    erase_aspect: tuple[float, float] = (0.3, 3.3)
    """Height over width of that part, log-even."""


def som_input(
    rgb: UInt8, mask: Bool, augment: SomAugment | None, chance: np.random.Generator
) -> tuple[Float32, Float32]:
    """A picture and its mask as they are trained on.

    Args:
        rgb: Picture ``(H, W, 3)``.
        mask: Object ``(H, W)``.
        augment: How they are changed; None for held-out ones.
        chance: What decides.

    Returns:
        The encoder's input ``(3, 224, 224)``, and the mask ``(256, 256)``, 0 or 1.
    """
    if augment is not None:
        rgb = _blurred(_recoloured(rgb, augment, chance), augment, chance)
        rgb, mask = _moved(rgb, mask, augment, chance)
    wanted = _square_mask(mask)
    image = square_image(rgb, Framing.UPSTREAM)[0]
    if augment is not None and chance.random() < augment.erase_share:
        image, wanted = _erased(image, wanted, augment, chance)
    return image, wanted.astype(np.float32)


def _recoloured(rgb: UInt8, augment: SomAugment, chance: np.random.Generator) -> UInt8:
    """Brightness, contrast, saturation and hue, in any order."""
    picture = Image.fromarray(rgb)
    for kind in chance.permutation(4).tolist():
        factor = chance.uniform(1.0 - augment.brightness, 1.0 + augment.brightness)
        if kind == 0:
            picture = ImageEnhance.Brightness(picture).enhance(factor)
        elif kind == 1:
            picture = ImageEnhance.Contrast(picture).enhance(factor)
        elif kind == 2:
            picture = ImageEnhance.Color(picture).enhance(factor)
        else:
            hsv = np.array(picture.convert("HSV"))
            turn = int(chance.uniform(-augment.hue, augment.hue) * _HUES)
            hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 256
            picture = Image.fromarray(hsv, "HSV").convert("RGB")
    return np.asarray(picture)


def _blurred(rgb: UInt8, augment: SomAugment, chance: np.random.Generator) -> UInt8:
    if chance.random() >= augment.blur_share:
        return rgb
    sigma = chance.uniform(*augment.blur_sigma)
    blurred = cv2.GaussianBlur(rgb, augment.blur_px, sigma, sigmaY=sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8)


def _moved(rgb: UInt8, mask: Bool, augment: SomAugment, chance: np.random.Generator) -> tuple[UInt8, Bool]:
    """Mirrored, turned, scaled and sheared about the centre, both alike; black and no object beyond the border."""
    if chance.random() < augment.mirror_share:
        rgb, mask = rgb[:, ::-1], mask[:, ::-1]
    turn = math.radians(chance.uniform(-augment.turn_deg, augment.turn_deg))
    scale = chance.uniform(*augment.scale)
    shear = math.radians(chance.uniform(*augment.shear_deg))
    back = np.linalg.inv(scale * _turn(turn) @ np.array([[1.0, -math.tan(shear)], [0.0, 1.0]]))
    centre = 0.5 * np.array([rgb.shape[1], rgb.shape[0]])
    shift = centre - back @ centre
    # Pillow counts from the edges of pixels and asks where each pixel of the result comes from.
    data = (*back[0].tolist(), float(shift[0]), *back[1].tolist(), float(shift[1]))
    size, how = (rgb.shape[1], rgb.shape[0]), Image.Transform.AFFINE
    picture = Image.fromarray(np.ascontiguousarray(rgb)).transform(size, how, data, Image.Resampling.BICUBIC)
    grey = Image.fromarray(np.ascontiguousarray(mask).astype(np.uint8) * np.uint8(255))
    moved = grey.transform(size, how, data, Image.Resampling.NEAREST)
    return np.asarray(picture), np.asarray(moved) > 0


def _turn(angle_rad: float) -> NDArray[np.float64]:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s], [s, c]])


def _square_mask(mask: Bool) -> Bool:
    """The middle square ``(256, 256)`` of a mask, by the nearest pixels."""
    height, width = mask.shape
    short = min(height, width)
    size = (MASK_PX * width // short, MASK_PX * height // short)
    resized = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize(size, Image.Resampling.NEAREST)
    left, top = (round((n - MASK_PX) / 2) for n in size)
    return np.asarray(resized)[top : top + MASK_PX, left : left + MASK_PX] > 0


def _erased(image: Float32, mask: Bool, augment: SomAugment, chance: np.random.Generator) -> tuple[Float32, Bool]:
    """A rectangle of noise in the picture, and no object in it; upstream draws it at the mask's size."""
    low, high = (math.log(x) for x in augment.erase_aspect)
    for _ in range(_TRIES):
        area = MASK_PX * MASK_PX * chance.uniform(*augment.erase_area)
        aspect = math.exp(chance.uniform(low, high))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < MASK_PX and width < MASK_PX:
            break
    else:
        return image, mask
    top, left = (int(chance.integers(0, MASK_PX - side + 1)) for side in (height, width))
    image, mask = image.copy(), mask.copy()
    mask[top : top + height, left : left + width] = False
    rows, columns = (
        slice(round(at * SIZE_PX / MASK_PX), round((at + side) * SIZE_PX / MASK_PX))
        for at, side in ((top, height), (left, width))
    )
    hidden = image[:, rows, columns]
    image[:, rows, columns] = chance.standard_normal(hidden.shape, dtype=np.float32)
    return image, mask
