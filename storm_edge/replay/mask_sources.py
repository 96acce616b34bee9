"""Where the masks come from that poses are made of: labels, a segmenter, results of `segment`, or detections."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.detections import ImageDetection
from storm_edge.bop.images import read_mask
from storm_edge.bop.scene import BopScene
from storm_edge.errors import FrameError, InputError, mismatch
from storm_edge.evaluate.mask_results import MaskResult
from storm_edge.frame import Frame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import model_name
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from storm_edge.replay.mask_search import RawSearch

Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class GivenMask:
    """A mask of an object in an image."""

    mask: Bool
    """Its pixels ``(H, W)``."""
    score: float
    """How sure it is of the object, 0..1."""
    time_s: float = 0.0
    """Time that it took [s]."""


class MaskSource(Protocol):
    """Gives the masks of a scene."""

    def masks(self, frame: Frame, bundle: ObjectBundle, count: int) -> list[GivenMask]:
        """Masks of an object in an image, best first: ``count`` at most; none where it is not found."""


class LabelMasks:
    """The masks of the labels.

    Args:
        scene: The labelled recording.
        whole: Whether those of whole silhouettes (`mask/`) are taken, not those of visible parts (`mask_visib/`).
    """

    def __init__(self, scene: BopScene, *, whole: bool = False) -> None:
        self._scene = scene
        self._read = scene.mask if whole else scene.mask_visib

    def masks(self, frame: Frame, bundle: ObjectBundle, count: int) -> list[GivenMask]:
        """See `MaskSource.masks`.

        Raises:
            SceneError: There are no labels, or a mask is missing.
        """
        labels = self._scene.ground_truth(frame.index)
        found = [self._read(frame.index, i) for i, label in enumerate(labels) if label.object_id == bundle.bop_id]
        return [GivenMask(mask=mask, score=1.0) for mask in found if mask.any()][:count]


class SegmenterMasks:
    """The masks that a segmenter likes best, each elsewhere; nothing verifies them.

    Args:
        segmenter: The segmenter.
        embeddings: What it keeps of every object, by name.
    """

    def __init__(self, segmenter: Segmenter, embeddings: Mapping[str, TemplateEmbedding]) -> None:
        self._segmenter, self._embeddings = segmenter, embeddings

    def masks(self, frame: Frame, bundle: ObjectBundle, count: int) -> list[GivenMask]:
        """See `MaskSource.masks`."""
        embedding = self._embeddings[model_name(bundle.object_id)]
        found: list[GivenMask] = []
        searches: list[RawSearch] = []
        for _ in range(count):
            started = time.perf_counter()
            search = RawSearch(self._segmenter, embedding)
            search.avoid(list(searches))
            mask, score = search.search(frame)
            if mask is None or not mask.any():
                break
            searches.append(search)
            found.append(GivenMask(mask=mask, score=float(score), time_s=time.perf_counter() - started))
        return found


class ResultMasks:
    """The masks that a run of `segment` over the scene left."""

    def __init__(self, results: Sequence[MaskResult]) -> None:
        self._results: dict[tuple[int, str], list[MaskResult]] = {}
        for result in results:
            self._results.setdefault((result.frame_id, model_name(result.object_id)), []).append(result)

    def masks(self, frame: Frame, bundle: ObjectBundle, count: int) -> list[GivenMask]:
        """See `MaskSource.masks`.

        Raises:
            SceneError: A mask is missing.
            FrameError: It has another size than the image.
        """
        found = []
        for result in self._results.get((frame.index, model_name(bundle.object_id)), []):
            if result.path is not None:
                mask = _checked(read_mask(result.path), frame, str(result.path))
                found.append(GivenMask(mask=mask, score=result.score, time_s=result.time_s))
        return sorted(found, key=lambda item: -item.score)[:count]


class DetectionMasks:
    """The masks of a file of detections.

    Args:
        detections: Those of one scene.
        scene: The scene.

    Raises:
        InputError: One is of an image that the scene does not have.
    """

    def __init__(self, detections: Sequence[ImageDetection], scene: BopScene) -> None:
        self._detections: dict[tuple[int, int], list[ImageDetection]] = {}
        for item in detections:
            if item.image_id not in scene:
                expected = f"an image of {scene.path}"
                remedy = "name the dataset that the detections are of"
                raise InputError(mismatch(item.what, f"image {item.image_id}", expected, remedy))
            self._detections.setdefault((item.image_id, item.object_id), []).append(item)

    def masks(self, frame: Frame, bundle: ObjectBundle, count: int) -> list[GivenMask]:
        """See `MaskSource.masks`.

        Raises:
            InputError: A mask cannot be decoded.
            FrameError: It has another size than the image.
        """
        number = bundle.bop_id
        given = [] if number is None else self._detections.get((frame.index, number), [])
        best = sorted(given, key=lambda item: -item.score)[:count]
        masks = [(_checked(item.mask(), frame, item.what), item) for item in best]
        return [
            GivenMask(mask=mask, score=item.score, time_s=max(item.time_s, 0.0)) for mask, item in masks if mask.any()
        ]


def check_detections(
    detections: Sequence[ImageDetection], scenes: Mapping[int, str], numbers: Sequence[int], dataset: str
) -> None:
    """Refuse detections of scenes or objects that a dataset does not have.

    Args:
        detections: All of them.
        scenes: Names of the dataset's scenes by number.
        numbers: Numbers of its objects.
        dataset: Its name.

    Raises:
        InputError: Names the first of them.
    """
    known = frozenset(numbers)
    for item in detections:
        got = None
        if item.scene_id not in scenes:
            got = f"scene {item.scene_id}"
        elif item.object_id not in known:
            got = f"object {item.object_id}"
        if got is not None:
            expected = f"one of {len(scenes)} scenes and {len(known)} objects of {dataset}"
            raise InputError(mismatch(item.what, got, expected, "name the dataset that the detections are of"))


def _checked(mask: Bool, frame: Frame, what: str) -> Bool:
    if mask.shape != frame.size_px:
        raise FrameError(mismatch(what, f"size {mask.shape}", f"{frame.size_px} as the image", "give masks of it"))
    return mask


def result_masks(folder: Path) -> ResultMasks:
    """The masks that a run of `segment` left in a folder.

    Raises:
        InputError: There are none.
    """
    from storm_edge.evaluate.mask_results import read_mask_results

    return ResultMasks(read_mask_results(folder))
