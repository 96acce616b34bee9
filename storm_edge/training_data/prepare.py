"""`storm-edge data prepare`: a split of a BOP dataset becomes a folder that the full segmenter is trained on.

The folder holds each picture once (``img/``), the visible mask of each label (``mask/``), sixteen rendered views of
each object (``render/``), and ``annotations.json``, which is written last: a folder without it is not finished, and
goes on with ``--resume``. Scenes that are done have a file in ``scenes/``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storm_edge.bop.images import mask_name, read_mask, read_rgb
from storm_edge.choices import LengthUnit
from storm_edge.errors import FrameError, OutputError, SceneError, mismatch
from storm_edge.files import write_atomically
from storm_edge.folder_swap import lock
from storm_edge.parsing import parse_json
from storm_edge.result_kind import MADE_BY, ResultKind
from storm_edge.training_data.bop_split import (
    LabelledMask,
    find_model,
    labelled_masks,
    object_name,
    scene_folders,
)
from storm_edge.training_data.view_pictures import write_views

ANNOTATIONS, IMAGES, MASKS, SCENES, RENDER = "annotations.json", "img", "mask", "scenes", "render"
PREPARE = ResultKind(
    command="storm-edge data prepare",
    marker="prepare.json",
    keys=frozenset({"dataset", "split"}),
    names=frozenset({ANNOTATIONS}),
)
"""Of `data prepare`; written while the work goes on, since it may be resumed."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What is prepared, and how."""

    dataset: Path
    """Folder of the dataset."""
    split: str
    """Folder of scenes in it, such as ``train_pbr``."""
    models: Path
    """Folder of the models."""
    unit: LengthUnit = LengthUnit.MM
    """Their unit of length."""
    scenes: Sequence[int] | None = None
    """Only these scenes."""
    camera: str | None = None
    """Which of several cameras."""
    min_pixels: int = 1
    """Fewest visible pixels of a label that is kept."""
    device: str = "cpu"
    """Where views are rendered."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a folder holds."""

    samples: int
    """Labels with a mask."""
    images: int
    """Pictures."""
    objects: int
    """Objects with views."""
    left_out: int
    """Labels of which too little is visible."""


def prepare(
    options: PrepareOptions, out: Path, *, resume: bool = False, progress: Progress = lambda what, share: None
) -> Prepared:
    """Make or go on with a training folder.

    Args:
        options: What is prepared.
        out: The folder.
        resume: Whether an unfinished one goes on.
        progress: Receives what is being done and its finished share.

    Raises:
        SceneError: Missing scenes, labels, pictures, masks or models; or views of another object.
        FrameError: A mask of another size than its picture.
        OutputError: The folder holds something else, or cannot be written.
    """
    folders = scene_folders(options.dataset / options.split, options.scenes)
    labels = {folder.name: list(labelled_masks(folder, camera=options.camera)) for folder in folders}
    objects = sorted({label.object_id for found in labels.values() for label in found})
    if not objects:
        expected = "labels of at least one object"
        raise SceneError(mismatch(options.dataset / options.split, "no label", expected, "choose another split"))
    models = {number: find_model(options.models, number) for number in objects}
    with _opened(options, out, resume=resume):
        for done, (number, model) in enumerate(models.items()):
            progress("views", done / len(models))
            name = object_name(number)
            write_views(model, options.unit, out / RENDER / name, name=name, device=options.device)
        for done, (scene, found) in enumerate(labels.items()):
            progress("scenes", done / len(labels))
            if not (out / SCENES / f"{scene}.json").is_file():
                _write_scene(out, scene, found, options.min_pixels)
        return _finish(out, list(labels))


@contextmanager
def _opened(options: PrepareOptions, out: Path, *, resume: bool) -> Iterator[None]:
    """The folder, made or found again, and nobody else in it."""
    asked = json.loads(json.dumps({**asdict(options), "dataset": options.dataset.resolve().name}, default=str))
    for name in ("models", "device"):  # the models' content is in the views' own file
        del asked[name]
    content = PREPARE.content(out)
    if content is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(mismatch(out, "other files", "a new folder", "choose another --out"))
    if content is not None and not resume:
        got = "a folder that was prepared before"
        raise OutputError(mismatch(out, got, "a new folder", "add --resume or choose another --out"))
    if content is not None and (differing := _differing(content, asked)):
        raise OutputError(mismatch(out, f"a folder of {differing}", "the options as given", "choose another --out"))
    try:
        for name in (IMAGES, MASKS, SCENES):
            (out / name).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        expected = "a folder that can be made"
        raise OutputError(mismatch(out, error.strerror or error, expected, "choose another --out")) from error
    try:
        if not lock(descriptor):
            raise OutputError(mismatch(out, "a folder that is being prepared", "one of no run", "wait for it"))
        for part in out.glob("*/.*.part-*"):  # of a run that was killed as it wrote
            part.unlink(missing_ok=True)
        text = json.dumps({MADE_BY: PREPARE.made_by, **asked}, indent=2) + "\n"
        write_atomically(out / PREPARE.marker, text.encode())
        yield
    finally:
        os.close(descriptor)


def _differing(content: Any, asked: dict[str, Any]) -> str:
    """The options that a folder was begun with and that are not the ones given, in words."""
    return ", ".join(f"{key} {content.get(key)}" for key in asked if content.get(key) != asked[key])


def _write_scene(out: Path, scene: str, labels: Sequence[LabelledMask], min_pixels: int) -> None:
    """Copy a scene's pictures and masks; its list of samples comes last."""
    samples: list[dict[str, Any]] = []
    left_out, size, image = 0, (0, 0), ""
    frame_id = -1
    for label in labels:
        mask = read_mask(label.mask)
        if label.frame_id != frame_id:
            frame_id, size, image = label.frame_id, read_rgb(label.image, is_grey=True).shape[:2], ""
        if mask.shape != size:
            expected = f"{size} like {label.image.name}"
            raise FrameError(mismatch(label.mask, f"size {mask.shape}", expected, "copy the scene again"))
        pixels = int(np.count_nonzero(mask))
        if pixels < min_pixels:
            left_out += 1
            continue
        if not image:
            image = f"{IMAGES}/{scene}_{frame_id:06d}{label.image.suffix.lower()}"
            write_atomically(out / image, label.image.read_bytes())
        name = f"{MASKS}/{scene}_{mask_name(frame_id, label.index)}"
        write_atomically(out / name, label.mask.read_bytes())
        samples.append({"image": image, "mask": name, "object": label.object_id, "pixels": pixels})
    text = json.dumps({"samples": samples, "left_out": left_out}) + "\n"
    write_atomically(out / SCENES / f"{scene}.json", text.encode())


def _finish(out: Path, scenes: Sequence[str]) -> Prepared:
    """One list of all scenes' samples."""
    parts = [parse_json((out / SCENES / f"{scene}.json").read_bytes()) for scene in scenes]
    samples = [sample for part in parts for sample in part["samples"]]
    left_out = sum(part["left_out"] for part in parts)
    if not samples:
        expected = "labels with something visible"
        raise SceneError(mismatch(out, f"{left_out} labels, all hidden", expected, "lower --min-pixels"))
    lines = ",\n".join(f"  {json.dumps(sample)}" for sample in samples)
    text = f'{{"format": 1, "left_out": {left_out}, "samples": [\n{lines}\n]}}\n'
    write_atomically(out / ANNOTATIONS, text.encode())
    return Prepared(
        samples=len(samples),
        images=len({sample["image"] for sample in samples}),
        objects=len({sample["object"] for sample in samples}),
        left_out=left_out,
    )
