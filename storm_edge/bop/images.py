"""Image files of a BOP scene: colour, depth and masks, and how they are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from storm_edge.errors import FrameError, OutputError, SceneError, mismatch

BoolImage = NDArray[np.bool_]

_RGB_SUFFIXES = (".png", ".jpg", ".jpeg")


def mask_name(frame_id: int, index: int) -> str:
    """File name of a mask: image number and which object of that image."""
    return f"{frame_id:06d}_{index:06d}.png"


def read_mask(path: Path) -> BoolImage:
    """A mask image, bool ``(H, W)``.

    Raises:
        SceneError: The file is missing or unreadable.
        FrameError: The file is not an 8-bit grey image.
    """
    image = _open_image(path)
    if image.ndim != 2 or image.dtype not in (np.uint8, np.bool_):
        raise FrameError(
            mismatch(path, f"{image.dtype} {image.shape}", "8-bit grey (H, W)", "store masks as 8-bit grey PNG")
        )
    return np.asarray(image > 0)


def write_mask(path: Path, mask: BoolImage) -> None:
    """Write a mask ``(H, W)`` as BOP stores it, 255 where it is set.

    Raises:
        OutputError: The file cannot be written.
    """
    write_png(path, mask.astype(np.uint8) * np.uint8(255))


def numbered_images(folder: Path) -> dict[int, Path]:
    """Images of a folder by the number that is their name."""
    expected = "images named NNNNNN.png or NNNNNN.jpg"
    if not folder.is_dir():
        raise SceneError(mismatch(folder, "no such folder", expected, "check that this is a BOP scene"))
    found = {
        int(path.stem): path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _RGB_SUFFIXES and path.stem.isdecimal()
    }
    if not found:
        raise SceneError(mismatch(folder, "no image", expected, "check that this is a BOP scene"))
    return found


def _open_image(path: Path) -> NDArray[Any]:
    """Decode a whole image; Pillow is used because it refuses truncated files, which OpenCV pads."""
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except FileNotFoundError as error:
        raise SceneError(mismatch(path, "no such file", "an image", "check that the folder is complete")) from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise SceneError(
            mismatch(path, f"unreadable image ({error})", "a whole image", "copy the file again")
        ) from error


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A colour image, uint8 ``(H, W, 3)``; raises as `read_mask`."""
    image = _open_image(path)
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 4:  # opaque by convention
        image = image[..., :3]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FrameError(
            mismatch(path, f"{image.dtype} {image.shape}", "8-bit RGB (H, W, 3)", "store colour images as 8-bit RGB")
        )
    return image


def read_depth(path: Path) -> NDArray[np.uint16]:
    """A depth image as stored, uint16 ``(H, W)``; raises as `read_mask`."""
    image = _open_image(path)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise FrameError(
            mismatch(
                path, f"{image.dtype} {image.shape}", "16-bit grey (H, W)", "store depth as 16-bit PNG of z-depth"
            )
        )
    return image


def mask_path(root: Path, kind: str, frame_id: int, label_index: int) -> Path:
    """File of a mask; ``kind`` is its folder, ``mask`` or ``mask_visib``."""
    return root / kind / mask_name(frame_id, label_index)


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write an image, RGB or grey.

    Raises:
        OutputError: The file cannot be written.
    """
    pixels = image[..., ::-1] if image.ndim == 3 else image
    # Run-length strategy: half the time of the default one, and for noisy pictures no larger.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    _, code = cv2.imencode(".png", pixels, options)
    try:
        path.write_bytes(code.tobytes())
    except OSError as error:
        raise OutputError(mismatch(path, error, "a writable file", "choose another output folder")) from error
