"""The samples of folders that the full segmenter is trained on: picture, mask, views of the object, its words.

A folder is one of `storm-edge data prepare`, or a split of a BOP dataset with views in upstream's place: of
``ycbv/train_pbr`` in ``ycbv/render/obj_000001/nature``. Pictures are read when asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import read_mask, read_rgb
from storm_edge.errors import FrameError, InputError, SceneError, mismatch
from storm_edge.parsing import parse_json
from storm_edge.training_data.bop_split import labelled_masks, object_name, scene_folders
from storm_edge.training_data.prepare import ANNOTATIONS, PREPARE, RENDER
from storm_edge.training_data.view_pictures import view_paths

CONTEXTS = "contexts.json"
"""Language contexts of the objects of a folder: a vector by name."""
_HELD_OUT_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class SomSample:
    """One label."""

    image: Path
    """The picture."""
    mask: Path
    """Visible part of the object in it."""
    views: Path
    """Folder of the object's views."""
    name: str
    """The object's name."""
    context: tuple[float, ...] | None = None
    """What a text encoder makes of its description."""

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Picture ``(H, W, 3)`` and mask ``(H, W)``.

        Raises:
            SceneError: One is missing or unreadable.
            FrameError: One is of another kind, or their sizes differ.
        """
        rgb, mask = read_rgb(self.image, is_grey=True), read_mask(self.mask)
        if rgb.shape[:2] != mask.shape:
            expected = f"{rgb.shape[:2]} like {self.image.name}"
            raise FrameError(mismatch(self.mask, f"size {mask.shape}", expected, "prepare the folder again"))
        return rgb, mask


def read_samples(folder: Path) -> list[SomSample]:
    """The samples of a folder.

    Raises:
        InputError: It is none, is not finished, or its list is broken.
        SceneError: Views of an object are missing or of another one.
    """
    if not folder.is_dir():
        raise InputError(mismatch(folder, "no such folder", "one of storm-edge data prepare", "check --data"))
    if PREPARE.content(folder) is None and not (folder / ANNOTATIONS).is_file():
        return _of_split(folder)
    path = folder / ANNOTATIONS
    if not path.is_file():
        remedy = "go on with it: storm-edge data prepare --resume"
        raise InputError(mismatch(folder, f"no {ANNOTATIONS}: it is not finished", "a prepared folder", remedy))
    expected, remedy = "samples of image, mask and object", "prepare the folder again"
    try:
        entries = parse_json(path.read_bytes())["samples"]
        found = [(str(e["image"]), str(e["mask"]), object_name(int(e["object"]))) for e in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(mismatch(path, f"{type(error).__name__} {error}", expected, remedy)) from error
    if not found:
        raise InputError(mismatch(path, "no sample", expected, remedy))
    contexts = _contexts(folder)
    return _checked(
        [
            SomSample(
                image=folder / image,
                mask=folder / mask,
                views=folder / RENDER / name,
                name=name,
                context=contexts.get(name),
            )
            for image, mask, name in found
        ]
    )


def held_out_apart(samples: Sequence[SomSample]) -> tuple[list[SomSample], list[SomSample]]:
    """Samples to train on, and those of every tenth picture (of the last one at least) to be judged by.

    Raises:
        InputError: There is one picture.
    """
    images = sorted({sample.image for sample in samples})
    apart = set(images[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]) or {images[-1]}
    kept = [sample for sample in samples if sample.image not in apart]
    if not kept:
        expected = "pictures to train on and one to be judged by"
        raise InputError(mismatch("--data", "one picture", expected, "add some, or give --held-out-data"))
    return kept, [sample for sample in samples if sample.image in apart]


def _of_split(split: Path) -> list[SomSample]:
    """The samples of a BOP split beside upstream's views."""
    render = split.parent / RENDER
    contexts = _contexts(split.parent)
    samples = [
        SomSample(
            image=label.image,
            mask=label.mask,
            views=render / object_name(label.object_id),
            name=object_name(label.object_id),
            context=contexts.get(object_name(label.object_id)),
        )
        for scene in scene_folders(split)
        for label in labelled_masks(scene)
    ]
    if not samples:
        raise SceneError(mismatch(split, "no label", "labels of at least one object", "choose another split"))
    return _checked(samples)


def _checked(samples: list[SomSample]) -> list[SomSample]:
    """The same, if views of all objects and all pictures are there."""
    for views, name in sorted({(sample.views, sample.name) for sample in samples}):
        view_paths(views, name=name)
    for sample in samples:
        for path in (sample.image, sample.mask):
            if not path.is_file():
                remedy = "check that the folder is complete"
                raise SceneError(mismatch(path, "no such file", "the file of a sample", remedy))
    return samples


def _contexts(folder: Path) -> dict[str, tuple[float, ...]]:
    """The language contexts of a folder; none where it has no such file."""
    path = folder / CONTEXTS
    if not path.is_file():
        return {}
    expected, remedy = "a vector of numbers for each object, all of one length", "describe the objects again"
    try:
        content: dict[str, Any] = parse_json(path.read_bytes())
        found = {str(name): tuple(float(x) for x in vector) for name, vector in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(mismatch(path, f"{type(error).__name__} {error}", expected, remedy)) from error
    if len({len(vector) for vector in found.values()}) > 1 or not all(found.values()):
        raise InputError(mismatch(path, "vectors of several lengths", expected, remedy))
    return found
