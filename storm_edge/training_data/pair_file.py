"""Pairs of crops that the verifier is trained and judged on: a JSON object per line.

``{"a": "crops/000012_mug.png", "b": "crops/000000_mug.png", "label": 1}``: the crop at the pose in question, a
remembered crop of a right pose, and whether the first pose is still right (1) or lost (0). Paths are relative to the
file; pictures are RGB. Files of upstream's trainer, which call the pictures ``img1`` and ``img2``, are read, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storm_edge.bop.images import read_rgb
from storm_edge.errors import InputError, mismatch
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.parsing import parse_json
from storm_edge.pipeline.verify.crop_encoders import FULL_CROP_PX

PAIRS = "pairs.jsonl"
"""Name of the file."""
_NAMES = (("a", "b"), ("img1", "img2"))


@dataclass(frozen=True, kw_only=True)
class CropPair:
    """One line."""

    current: Path
    """Picture at the pose in question."""
    memory: Path
    """Remembered picture."""
    label: int
    """1 where the pose is still right, 0 where it is lost."""


def read_pairs(path: Path) -> list[CropPair]:
    """The pairs of a file, or of the folder that holds `PAIRS`.

    Raises:
        InputError: No such file, no pair in it, a line that is none, or a picture that is not there.
    """
    path = path / PAIRS if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or error
        raise InputError(mismatch(path, got, f"a file of pairs ({PAIRS})", "check the path")) from error
    pairs = [_pair(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not pairs:
        raise InputError(mismatch(path, "no pair", "at least one line", "make some: storm-edge data pairs"))
    return pairs


def read_crop(path: Path) -> NDArray[np.float32]:
    """A picture as the full verifier takes it, ``(3, 224, 224)``, normalised as for ImageNet.

    Raises:
        SceneError: It is missing or unreadable.
        FrameError: It is no RGB picture.
    """
    picture = read_rgb(path)
    size = (FULL_CROP_PX, FULL_CROP_PX)
    if picture.shape[:2] != size:
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    normalised = (picture.astype(np.float32) / np.float32(255.0) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def _pair(line: str, path: Path, number: int) -> CropPair:
    what, remedy = f"{path} line {number}", "write it as storm-edge data pairs does"
    expected = '{"a": picture, "b": picture, "label": 0 or 1}'
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise InputError(mismatch(what, f"no JSON ({error})", expected, remedy)) from error
    names = next((n for n in _NAMES if isinstance(entry, dict) and set(n) <= entry.keys()), None)
    if names is None or not all(isinstance(entry[name], str) for name in names):
        raise InputError(mismatch(what, "other keys", expected, remedy))
    label = entry.get("label")
    if isinstance(label, bool) or label not in (0, 1):
        raise InputError(mismatch(what, f"label {label}", "0 or 1", remedy))
    current, memory = (path.parent / entry[name] for name in names)
    for picture in (current, memory):
        if not picture.is_file():
            raise InputError(mismatch(what, f"no picture {picture}", "pictures that are there", "copy them again"))
    return CropPair(current=current, memory=memory, label=int(label))
