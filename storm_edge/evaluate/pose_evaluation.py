"""Predicted poses against the labels of a BOP scene, one `PoseEvaluation` per label.

`poses` and `tracking` make tables of these. Of several instances of one object every label is judged: the poses that
were given for it in that image, as ``mug`` and ``mug#2`` or as lines of a BOP result file, are matched so that
the sum of ADD-S is the least. A label that is left over was missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from storm_edge.bop.scene import BopScene
from storm_edge.choices import AddSFrom
from storm_edge.errors import InputError, SceneError, mismatch
from storm_edge.evaluate.metrics import (
    ModelPoints,
    depth_residual_m,
    mask_iou,
    rotation_error_deg,
    translation_error_m,
)
from storm_edge.evaluate.predictions import Prediction, of_scene
from storm_edge.evaluate.scene_match import check_frames
from storm_edge.geometry.se3 import invert, transform
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import instance_number, model_name
from storm_edge.parsing import parse_json

Float64 = NDArray[np.float64]
Progress = Callable[[str, float], None]

QUALITY = "pose_quality.json"
"""Optional file of a scene: how far each image's label can be trusted, ``{"0": {"quality": "A"}, ...}``, or this
beside a note, as ``{"note": "...", "frames": {...}}``."""


@dataclass(frozen=True, kw_only=True)
class PoseEvaluation:
    """One label and how far the prediction is from it. Errors are infinite where no pose was predicted."""

    frame_id: int
    """Image number."""
    object_id: str
    """Name of the object bundle."""
    instance: int = 0
    """Which of the labels of its number in the image, from 0 in the order of the file."""
    diameter_m: float
    """Diameter of the object [m]."""
    quality: str | None
    """Class of the label where the scene has `pose_quality.json`."""
    T_true: Float64
    """Labelled pose ``T_cam_obj``, the symmetric one nearest to the prediction, shape ``(4, 4)``."""
    T_pred: Float64 | None
    """Predicted pose ``T_cam_obj``, shape ``(4, 4)``; None where there is none."""
    state: str | None = None
    """Reported state; None where nothing was reported, and in BOP result files."""
    visible_share: float | None = None
    """Visible part of the silhouette, 0..1; None where the scene does not say."""
    add_m: float = float("inf")
    """ADD [m], blind to the stated symmetries."""
    add_symmetric_m: float = float("inf")
    """ADD [m] to the nearest of the symmetric truths."""
    add_s_m: float = float("inf")
    """ADD-S [m]."""
    rotation_deg: float = float("inf")
    """Angle to the nearest symmetric truth [deg]."""
    translation_m: float = float("inf")
    """Distance to the nearest symmetric truth [m]."""
    iou: float | None = None
    """Rendered silhouette against the labelled visible mask; None where there is no mask. 0 without a pose."""
    depth_residual_m: float | None = None
    """Median absolute rendered minus measured depth inside the labelled mask [m]; None where nothing is shared."""


def evaluate_scene(
    scene: BopScene,
    predictions: Iterable[Prediction],
    bundles: Sequence[ObjectBundle],
    *,
    add_s_from: AddSFrom = AddSFrom.TRUTH,
    answered: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[PoseEvaluation]:
    """Judge every label of the given objects.

    Args:
        scene: Labelled recording.
        predictions: Poses of any objects; those of other objects and images are left out.
        bundles: The objects to judge.
        add_s_from: Whose points look for their nearest ones in ADD-S.
        answered: Whether there must be a prediction of every object; without one it counts as missed otherwise.
        progress: Called with images done and images in all.

    Raises:
        InputError: A bundle belongs to no label, no prediction belongs to a bundle, or predictions are for images
            that the scene does not have.
        SceneError: There are no labels.
    """
    ids = label_ids(scene, bundles)
    mine = of_scene(predictions, scene.path.name) if answered else list(predictions)
    check_frames({p.frame_id for p in mine}, scene)
    answers = answers_by_frame(mine, bundles, ids, answered=answered)
    quality = _read_quality(scene)
    judges = [_ObjectJudge(scene, bundle, add_s_from) for bundle in bundles]
    found: list[PoseEvaluation] = []
    for done, frame_id in enumerate(scene.frame_ids, start=1):
        labels = scene.ground_truth(frame_id)
        for judge, label_id in zip(judges, ids, strict=True):
            indices = [index for index, label in enumerate(labels) if label.object_id == label_id]
            given = answers.get((frame_id, judge.bundle.object_id), [])
            matched = judge.match([labels[index].T_cam_obj for index in indices], given)
            for instance, (index, answer) in enumerate(zip(indices, matched, strict=True)):
                T_pred = None if answer is None else answer.T_cam_obj
                judged = judge.judge(frame_id, index, labels[index].T_cam_obj, T_pred, quality.get(frame_id))
                state, share = None if answer is None else answer.state, scene.visible_share(frame_id, index)
                found.append(replace(judged, instance=instance, state=state, visible_share=share))
        if progress is not None:
            progress(done, len(scene))
    return found


class _ObjectJudge:
    """One object's model, ready for every image of a scene."""

    def __init__(self, scene: BopScene, bundle: ObjectBundle, add_s_from: AddSFrom) -> None:
        T = bundle.T_obj_centre
        self.bundle = bundle
        self._scene = scene
        self._model = ModelPoints(transform(T, bundle.mesh.vertices), T @ bundle.symmetries @ invert(T))
        is_from_truth = add_s_from is AddSFrom.TRUTH
        self._add_s = self._model.add_s if is_from_truth else self._model.add_s_from_prediction

    def match(self, truths: Sequence[Float64], answers: Sequence[Prediction]) -> list[Prediction | None]:
        """The answer for each label; None where there is none.

        Of a single label and answers of a single instance it is the most confident pose. Otherwise poses go to labels
        so that the sum of ADD-S is the least; labels that are left get answers without a pose, which say a state.
        """
        posed = [answer for answer in answers if answer.T_cam_obj is not None]
        numbers = {instance_number(answer.object_id) for answer in answers}
        if len(truths) == 1 and len(numbers) == 1:
            return [max(posed, key=lambda answer: answer.score, default=answers[0])]
        best = sorted(posed, key=lambda answer: -answer.score)
        if len(numbers) > 1:
            candidates = list({instance_number(answer.object_id): answer for answer in reversed(best)}.values())
        else:  # lines of a BOP result file: as many as there are labels
            candidates = best[: len(truths)]
        matched: list[Prediction | None] = [None] * len(truths)
        cost = np.array([[self._model.add_s(T, _pose(answer)) for answer in candidates] for T in truths])
        rows, columns = linear_sum_assignment(cost.reshape(len(truths), len(candidates)))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            matched[row] = candidates[column]
        silent = iter([answer for answer in answers if answer.T_cam_obj is None])
        return [next(silent, None) if answer is None else answer for answer in matched]

    def judge(
        self, frame_id: int, label_index: int, T_true: Float64, T_pred: Float64 | None, quality: str | None
    ) -> PoseEvaluation:
        masked = self._scene.has_mask(frame_id, label_index)
        if T_pred is None:
            return PoseEvaluation(
                frame_id=frame_id,
                object_id=self.bundle.object_id,
                diameter_m=self.bundle.diameter_m,
                quality=quality,
                T_true=T_true,
                T_pred=None,
                iou=0.0 if masked else None,
            )
        iou, residual = self._compare_images(frame_id, label_index, T_pred) if masked else (None, None)
        nearest = self._model.nearest_truth(T_true, T_pred)
        return PoseEvaluation(
            frame_id=frame_id,
            object_id=self.bundle.object_id,
            diameter_m=self.bundle.diameter_m,
            quality=quality,
            T_true=nearest,
            T_pred=T_pred,
            add_m=self._model.add(T_true, T_pred),
            add_symmetric_m=self._model.add(nearest, T_pred),
            add_s_m=self._add_s(T_true, T_pred),
            rotation_deg=rotation_error_deg(nearest, T_pred),
            translation_m=translation_error_m(nearest, T_pred),
            iou=iou,
            depth_residual_m=residual,
        )

    def _compare_images(self, frame_id: int, label_index: int, T_pred: Float64) -> tuple[float, float | None]:
        """Silhouette and depth of the posed model against the labelled mask and the measured depth."""
        from storm_edge.kernels.renderer import render  # starts Warp, which a judgement without masks does not need

        frame = self._scene.frame(frame_id)
        mask = self._scene.mask_visib(frame_id, label_index)
        picture = render(self.bundle.mesh, T_pred @ self.bundle.T_obj_centre, frame.K, frame.size_px)
        residual = depth_residual_m(picture.depth[0], frame.depth_m, mask)
        return mask_iou(picture.mask[0] > 0, mask), None if np.isnan(residual) else residual


def label_ids(scene: BopScene, bundles: Sequence[ObjectBundle]) -> list[int]:
    """The label number of every bundle: the one in its name, or the only one there is.

    Raises:
        InputError: A bundle belongs to no label.
        SceneError: There are no labels.
    """
    present = sorted({label.object_id for frame_id in scene.frame_ids for label in scene.ground_truth(frame_id)})
    if not present:
        raise SceneError(
            mismatch(scene.labels_path, "no label", "at least one labelled image", "name the label file")
        )
    ids = []
    for bundle in bundles:
        if bundle.bop_id in present:
            ids.append(bundle.bop_id)
        elif bundle.bop_id is None and len(present) == 1 and len(bundles) == 1:
            ids.append(present[0])
        else:
            expected = "a name with the number of a label: " + ", ".join(map(str, present))
            remedy = "onboard it with --id obj_NNNNNN"
            raise InputError(mismatch(f"object '{bundle.object_id}'", f"number {bundle.bop_id}", expected, remedy))
    return ids


def answers_by_frame(
    predictions: Iterable[Prediction],
    bundles: Sequence[ObjectBundle],
    label_ids: Sequence[int],
    *,
    answered: bool = True,
) -> Mapping[tuple[int, str], list[Prediction]]:
    """What was said per image and object name, under any of its names; of a model's instances all.

    Raises:
        InputError: Nothing was said of an object, and something must be (``answered``).
    """
    names = {bundle.object_id: bundle.object_id for bundle in bundles}
    names |= {str(label_id): bundle.object_id for label_id, bundle in zip(label_ids, bundles, strict=True)}
    seen: set[str] = set()
    answers: dict[tuple[int, str], list[Prediction]] = {}
    for prediction in predictions:
        seen.add(prediction.object_id)
        name = names.get(model_name(prediction.object_id))
        if name is not None:
            answers.setdefault((prediction.frame_id, name), []).append(prediction)
    for bundle in bundles if answered else ():
        if not any(names.get(model_name(name)) == bundle.object_id for name in seen):
            got = "objects " + ", ".join(sorted(seen))
            raise InputError(
                mismatch("predictions", got, f"'{bundle.object_id}'", "name the object that was tracked")
            )
    return answers


def _pose(answer: Prediction) -> Float64:
    assert answer.T_cam_obj is not None
    return answer.T_cam_obj


def _read_quality(scene: BopScene) -> dict[int, str]:
    """Class of every image's label; empty where the scene has none."""
    path = scene.path / QUALITY
    if not path.is_file():
        return {}
    try:
        content = parse_json(path.read_bytes())
        return {int(key): str(entry["quality"]) for key, entry in content.get("frames", content).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(
            mismatch(path, got, 'entries such as "0": {"quality": "A"}', "repair or remove it")
        ) from error
