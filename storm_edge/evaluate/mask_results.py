"""Masks of `storm-edge segment` against the `mask_visib` of a BOP scene, one `MaskEvaluation` per object and image.

Several instances of an object in an image are fine: any of them may be found, and what was found as ``mug`` and as
``mug#2`` are answers about the same instances. An image is judged where the label file
speaks of it: if it lists the object, and its masks are there; if it does not, the object is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from storm_edge.bop.images import read_mask
from storm_edge.bop.scene import BopScene
from storm_edge.errors import FrameError, InputError, mismatch
from storm_edge.evaluate.masks import BoolImage, MaskEvaluation, evaluate_masks
from storm_edge.evaluate.pose_evaluation import label_ids
from storm_edge.evaluate.scene_match import check_frames
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import model_name
from storm_edge.parsing import parse_json

SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True)
class MaskResult:
    """What was said about one object in one image."""

    frame_id: int
    """Image number."""
    object_id: str
    """Name of the object."""
    path: Path | None
    """File of the mask; None is the answer "not found"."""
    score: float
    """How sure that is, 0..1."""
    time_s: float
    """Time for the object in this image, with its part of what all objects share [s]."""


@dataclass(frozen=True, kw_only=True)
class MaskSceneEvaluation:
    """All answers that could be judged."""

    evaluations: list[MaskEvaluation]
    """In the order of the images."""
    unjudged_frames: list[int]
    """Segmented images that have no label, or a label without a mask."""


class _Entry(BaseModel):
    """One entry of ``results``."""

    model_config = ConfigDict(extra="forbid")
    frame: int
    object: str
    index: int
    found: bool
    score: float
    box: tuple[int, int, int, int] | None
    mask: str | None
    time_ms: float


class _Summary(BaseModel):
    """What is read of `summary.json`; the rest of it is for people."""

    model_config = ConfigDict(extra="ignore")
    results: list[_Entry]
    encode_ms: dict[int, float] = Field(validation_alias=AliasChoices("encode_ms", "look_ms"))  # the older name last


def read_mask_results(folder: Path | str) -> list[MaskResult]:
    """Read what a run of `storm-edge segment` said.

    Raises:
        InputError: The folder has no such summary, or nothing is in it.
    """
    path = Path(folder) / SUMMARY
    remedy = "give the folder that storm-edge segment wrote"
    try:
        summary = _Summary.model_validate(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or error
        raise InputError(mismatch(path, got, "the summary of a segmentation", remedy)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "the file"
        raise InputError(
            mismatch(path, f"{where}: {first['msg']}", "the summary of a segmentation", remedy)
        ) from error
    except ValueError as error:
        got = f"no JSON ({getattr(error, 'msg', error)})"
        raise InputError(mismatch(path, got, "the summary of a segmentation", remedy)) from error
    if not summary.results:
        raise InputError(mismatch(path, "no result", "at least one", "check that the run finished"))
    count = len({entry.object for entry in summary.results})
    return [
        MaskResult(
            frame_id=entry.frame,
            object_id=entry.object,
            path=_mask_file(Path(folder), entry, what=path),
            score=entry.score,
            time_s=(entry.time_ms + summary.encode_ms.get(entry.frame, 0.0) / count) / 1e3,
        )
        for entry in summary.results
    ]


def _mask_file(folder: Path, entry: _Entry, *, what: Path) -> Path | None:
    if entry.found != (entry.mask is not None):
        got = f"found {entry.found} and mask {entry.mask} in image {entry.frame}"
        raise InputError(mismatch(what, got, "a mask where, and only where, something was found", "segment again"))
    return None if entry.mask is None else folder / entry.mask


def evaluate_mask_scene(
    scene: BopScene,
    results: Sequence[MaskResult],
    bundles: Sequence[ObjectBundle],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> MaskSceneEvaluation:
    """Judge every answer about the given objects.

    Args:
        scene: Labelled recording.
        results: Answers about any objects; those about others are left out.
        bundles: The objects to judge.
        progress: Called with answers done and answers in all.

    Raises:
        InputError: A bundle belongs to no label, or no answer belongs to a bundle, or none can be judged.
        FrameError: A mask has another size than the true one.
        SceneError: There are no labels; an image or a mask is missing.
    """
    ids = dict(zip([bundle.object_id for bundle in bundles], label_ids(scene, bundles), strict=True))
    names = sorted({model_name(result.object_id) for result in results})
    for name in ids:
        if name not in names:
            got = "objects " + ", ".join(names)
            raise InputError(mismatch("segmentation", got, f"'{name}'", "name the object that was looked for"))
    asked = [result for result in results if model_name(result.object_id) in ids]
    check_frames({result.frame_id for result in asked}, scene)
    groups: dict[tuple[int, str], list[MaskResult]] = {}
    for result in asked:
        groups.setdefault((result.frame_id, model_name(result.object_id)), []).append(result)
    evaluations: list[MaskEvaluation] = []
    unjudged: set[int] = set()
    done = 0
    for (frame_id, name), group in groups.items():
        done += len(group)
        truths = _truths(scene, frame_id, ids[name])
        if truths is None:
            unjudged.add(frame_id)
        else:
            found = [(_read(result.path, truths), result.score) for result in group if result.path is not None]
            time_s = sum(result.time_s for result in group)
            evaluations.append(evaluate_masks(name, frame_id, truths, found, time_s=time_s))
        if progress is not None:
            progress(done, len(asked))
    if not evaluations:
        expected = "mask_visib of at least one segmented image"
        raise InputError(
            mismatch(scene.path, "no image that could be judged", expected, "segment the labelled images")
        )
    return MaskSceneEvaluation(evaluations=evaluations, unjudged_frames=sorted(unjudged))


def _truths(scene: BopScene, frame_id: int, object_id: int) -> list[BoolImage] | None:
    """Visible part of every instance, none where the object is absent; None where that is not known."""
    if not scene.is_labelled(frame_id):
        return None
    labels = scene.ground_truth(frame_id)
    indices = [index for index, label in enumerate(labels) if label.object_id == object_id]
    if not all(scene.has_mask(frame_id, index) for index in indices):
        return None
    return [scene.mask_visib(frame_id, index) for index in indices]


def _read(path: Path, truths: Sequence[BoolImage]) -> BoolImage:
    mask = read_mask(path)
    if truths and mask.shape != truths[0].shape:
        raise FrameError(
            mismatch(path, f"size {mask.shape}", f"{truths[0].shape} as mask_visib", "segment this scene")
        )
    return mask
