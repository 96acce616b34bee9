"""Image files of a BOP scene: colour, depth and masks, and how they are named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storm_edge.errors import FrameError, OutputError, SceneError, mismatch

BoolImage = NDArray[np.bool_]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_DEPTH_SUFFIXES = (".png", ".tif", ".tiff")
_DEPTH_FORMS = "16-bit PNG or TIFF of z-depth"
_SHOWN = 5  # names in a message


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
    expected = "images named NNNNNN.png, .jpg or .tif"
    if not folder.is_dir():
        got = f"no such folder beside {listed(folder.parent)}" if folder.parent.is_dir() else "no such folder"
        raise SceneError(mismatch(folder, got, expected, "check that this is a BOP scene"))
    found = {
        int(path.stem): path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES and path.stem.isdecimal()
    }
    if not found:
        got = f"no image among {listed(folder)}"
        raise SceneError(mismatch(folder, got, expected, "check that this is a BOP scene"))
    return found


def listed(folder: Path) -> str:
    """The first names in a folder, for messages."""
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "no files"


def depth_path(folder: Path, frame_id: int) -> Path:
    """The depth image of a number, by the suffix that is there; ``.png`` where none is.

    Raises:
        SceneError: There is a file of that number, of a kind that is not read.
    """
    name = f"{frame_id:06d}"
    paths = [folder / (name + suffix) for suffix in _DEPTH_SUFFIXES]
    found = next((path for path in paths if path.exists()), None)
    other = next(folder.glob(f"{name}.*"), None) if found is None else None
    if other is not None:
        got = f"{other.name}, which is not read"
        raise SceneError(mismatch(paths[0], got, f"a {_DEPTH_FORMS}", "store depth as one of these"))
    return found or paths[0]


def _open_image(path: Path) -> NDArray[Any]:
    """Decode a whole image; Pillow is used because it refuses truncated files, which OpenCV pads."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags, and of its size: both are checked by who asked
            with Image.open(path) as image:
                return np.asarray(image)
    except FileNotFoundError as error:
        raise SceneError(mismatch(path, "no such file", "an image", "check that the folder is complete")) from error
    except Exception as error:  # of damaged files Pillow raises nearly anything
        got = f"unreadable image ({error or type(error).__name__})"
        raise SceneError(mismatch(path, got, "a whole image", "copy the file again")) from error


def read_rgb(path: Path, *, is_grey: bool = False) -> NDArray[np.uint8]:
    """A colour image, uint8 ``(H, W, 3)``; raises as `read_mask`.

    Args:
        path: The file.
        is_grey: Whether it may be a grey image, which becomes three equal channels.
    """
    image = _open_image(path)
    if is_grey and image.dtype == np.uint8 and image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
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
    if image.dtype.kind != "u" or image.dtype.itemsize != 2 or image.ndim != 2:
        got = f"{image.dtype} {image.shape}"
        raise FrameError(mismatch(path, got, "16-bit grey (H, W)", f"store depth as {_DEPTH_FORMS}"))
    return image.astype(np.uint16, copy=False)  # TIFF may be of the other byte order


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
