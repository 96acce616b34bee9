"""Files of detections of the BOP challenge, as CNOS leaves them: masks of objects in images, with scores.

A list of `scene_id`, `image_id`, `category_id` (the object's number), `score`, `time` [s] and `segmentation`, a mask
in COCO's run lengths: pixels column by column, runs of zeros and ones in turn, as numbers or packed into a string.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import InputError, mismatch
from storm_edge.parsing import parse_json

_KEYS = "scene_id, image_id, category_id, score and segmentation"
_REMEDY = "write it in the form of the BOP challenge's detections"


@dataclass(frozen=True, kw_only=True)
class ImageDetection:
    """One object found in one image."""

    scene_id: int
    """Number of the scene."""
    image_id: int
    """Number of the image."""
    object_id: int
    """Number of the object."""
    score: float
    """How sure that is; only its order matters."""
    time_s: float
    """Time of the whole image [s]; -1 where it was not measured."""
    runs: Any
    """The mask's ``counts`` and ``size``, not yet looked at."""
    what: str
    """What to call it in messages."""

    def mask(self) -> NDArray[np.bool_]:
        """Its pixels ``(H, W)``.

        Raises:
            InputError: The runs are none, or do not fill the image.
        """
        try:
            height, width = (int(side) for side in self.runs["size"])
            counts = self.runs["counts"]
            lengths = _unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
            if min(lengths, default=0) < 0 or sum(lengths) != height * width:
                raise ValueError(f"runs of {sum(lengths)} pixels for {height} x {width}")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            got = f"{type(error).__name__} {error}"
            raise InputError(mismatch(self.what, got, "run lengths of a mask (counts and size)", _REMEDY)) from error
        values = np.arange(len(lengths)) % 2 == 1
        pixels: NDArray[np.bool_] = np.repeat(values, lengths)
        return np.ascontiguousarray(pixels.reshape(width, height).T)


def read_detections(path: Path) -> list[ImageDetection]:
    """Read a file of detections; masks are decoded when they are asked for.

    Raises:
        InputError: It is missing, or holds something else.
    """
    try:
        entries = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or f"no JSON ({error})"
        raise InputError(mismatch(path, got, f"a list of {_KEYS}", _REMEDY)) from error
    if not isinstance(entries, list):
        raise InputError(mismatch(path, type(entries).__name__, f"a list of {_KEYS}", _REMEDY))
    return [_detection(entry, f"{path} entry {number}") for number, entry in enumerate(entries)]


def _detection(entry: Any, what: str) -> ImageDetection:
    try:
        return ImageDetection(
            scene_id=int(entry["scene_id"]),
            image_id=int(entry["image_id"]),
            object_id=int(entry["category_id"]),
            score=float(entry["score"]),
            time_s=float(entry.get("time", -1.0)),
            runs=entry["segmentation"],
            what=what,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(mismatch(what, f"{type(error).__name__} {error}", _KEYS, _REMEDY)) from error


def _unpacked(text: str) -> list[int]:
    """Run lengths of COCO's string: groups of 5 bits, the lowest first; from the third on a difference to the one
    before the last."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"letter {letter!r} in counts")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:  # negative
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("counts that end within a number")
    return lengths
