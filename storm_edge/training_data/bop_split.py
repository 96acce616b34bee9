"""The scenes, labels and models of one split of a BOP dataset, as far as training the segmenter needs them.

Depth and cameras are not read: pictures, labels and visible masks are enough. `bop.scene` reads whole recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_edge.bop.images import listed, mask_name, numbered_images
from storm_edge.bop.labels import read_labels
from storm_edge.bop.layout import find_layout
from storm_edge.bop.scene import LABELS
from storm_edge.errors import SceneError, mismatch
from storm_edge.objects.mesh_io import FORMATS

MASKS = "mask_visib"
"""Folder of a scene with the visible part of every label."""


@dataclass(frozen=True, kw_only=True)
class LabelledMask:
    """One label of one picture."""

    scene: str
    """Folder name of the scene."""
    frame_id: int
    """Number of the picture."""
    index: int
    """Which label of the picture."""
    object_id: int
    """Number of the model."""
    image: Path
    """The picture."""
    mask: Path
    """Its visible mask."""


def scene_folders(split: Path, numbers: Sequence[int] | None = None) -> list[Path]:
    """The scenes of a split, by name.

    Args:
        split: Folder of scenes, such as ``ycbv/train_pbr``.
        numbers: Only scenes of these numbers.

    Raises:
        SceneError: There is no such folder, no scene in it, or one that was asked for is not there.
    """
    expected = "a folder of BOP scenes (000001/ with rgb/ and scene_gt.json)"
    if not split.is_dir():
        beside = f" beside {listed(split.parent)}" if split.parent.is_dir() else ""
        raise SceneError(mismatch(split, f"no such folder{beside}", expected, "check the dataset and --split"))
    found = [path for path in sorted(split.iterdir()) if path.name.isdecimal() and path.is_dir()]
    if not found:
        raise SceneError(mismatch(split, f"no scene among {listed(split)}", expected, "check --split"))
    if numbers is None:
        return found
    by_number = {int(path.name): path for path in found}
    for number in numbers:
        if number not in by_number:
            there = ", ".join(path.name for path in found[:5])
            raise SceneError(mismatch(split, f"no scene {number}", f"one of {there} ...", "check --scene"))
    return [by_number[number] for number in sorted(set(numbers))]


def labelled_masks(scene: Path, *, camera: str | None = None) -> Iterator[LabelledMask]:
    """Every label of a scene, picture by picture.

    Args:
        scene: Folder of the scene.
        camera: Which of several cameras.

    Raises:
        SceneError: No labels, or labels of a picture that is not there.
    """
    layout = find_layout(scene, camera)
    pictures = numbered_images(layout.colour)
    labels = read_labels(layout.file(LABELS))
    for frame_id in sorted(labels):
        if frame_id not in pictures:
            expected = f"a picture for every entry of {LABELS}"
            raise SceneError(mismatch(scene, f"no picture {frame_id:06d}", expected, "copy the scene again"))
        for index, label in enumerate(labels[frame_id]):
            yield LabelledMask(
                scene=scene.name,
                frame_id=frame_id,
                index=index,
                object_id=label.object_id,
                image=pictures[frame_id],
                mask=layout.folder(MASKS) / mask_name(frame_id, index),
            )


def object_name(object_id: int) -> str:
    """What BOP calls a model: ``obj_000001``."""
    return f"obj_{object_id:06d}"


def find_model(models: Path, object_id: int) -> Path:
    """The model file of an object.

    Raises:
        SceneError: There is none.
    """
    for suffix in FORMATS:
        path = models / f"{object_name(object_id)}{suffix}"
        if path.is_file():
            return path
    got = f"no {object_name(object_id)}" + (f" among {listed(models)}" if models.is_dir() else "; no such folder")
    raise SceneError(mismatch(models, got, "the model of every labelled object", "name the folder with --models"))
