"""What all images of a run share: text, the dark band behind it, contact sheets and image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import OutputError, mismatch

UInt8 = NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (235, 235, 235)
"""RGB of text that has no other colour."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BAND = 0.35  # share of the brightness that is left behind text


def put_text(picture: UInt8, text: str, at_px: tuple[int, int], size: float, colour: Colour) -> None:
    """Write a line of text, its lower left corner at ``at_px``."""
    cv2.putText(picture, text, at_px, _FONT, size, colour, 1, cv2.LINE_AA)


def text_width_px(text: str, size: float) -> int:
    """Width of a line of text [px]."""
    (width, _), _ = cv2.getTextSize(text, _FONT, size, 1)
    return int(width)


def darken_top(picture: UInt8, height_px: int) -> None:
    """Darken the first rows, so that text on them can be read."""
    band = picture[:height_px]
    band[:] = (band * _BAND).astype(np.uint8)


def write_picture(path: Path | str, picture: UInt8) -> None:
    """Write an RGB picture ``(H, W, 3)`` as PNG or JPEG, by its suffix.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        # Level 1 is several times quicker than the default for a few per cent more bytes.
        options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        done, data = cv2.imencode(Path(path).suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
        if done:
            Path(path).write_bytes(data.tobytes())
    except (OSError, cv2.error) as error:
        done, reason = False, str(error)
    else:
        reason = "an encoder that failed"
    if not done:
        raise OutputError(mismatch(path, reason, "a picture that can be written", "choose another output folder"))


def fitted(picture: UInt8, size_px: tuple[int, int]) -> UInt8:
    """A picture in a frame of height and width ``size_px``: itself if it has that size, else scaled, on black."""
    if picture.shape[:2] == size_px:
        return picture
    scale = min(size_px[0] / picture.shape[0], size_px[1] / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    top, left = (size_px[0] - height) // 2, (size_px[1] - width) // 2
    frame = np.zeros((*size_px, 3), dtype=np.uint8)
    frame[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA
    )
    return frame


def contact_sheet(pictures: Sequence[UInt8], *, columns: int = 4, width_px: int = 320) -> UInt8:
    """Pictures side by side, row by row, each ``width_px`` wide and fitted to the first one's shape; RGB."""
    size_px = (pictures[0].shape[0], pictures[0].shape[1])
    height_px = round(size_px[0] * width_px / size_px[1])
    cells = [cv2.resize(fitted(p, size_px), (width_px, height_px), interpolation=cv2.INTER_AREA) for p in pictures]
    blank = np.zeros_like(cells[0])
    cells += [blank] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return np.asarray(np.vstack(rows), dtype=np.uint8)
