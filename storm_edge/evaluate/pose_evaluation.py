"""Predicted poses against the labels of a BOP scene, one `PoseEvaluation` per label.

`poses` and `tracking` make tables of these. One label per object and image is judged; scenes with several instances
of one object are refused, since which is which would be a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene
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
from storm_edge.parsing import parse_json

Float64 = NDArray[np.float64]
Progress = Callable[[str, float], None]

QUALITY = "pose_quality.json"
"""Optional file of a scene: how far each image's label can be trusted, ``{"0": {"quality": "A"}, ...}``."""


@dataclass(frozen=True, kw_only=True)
class PoseEvaluation:
    """One label and how far the prediction is from it. Errors are infinite where no pose was predicted."""

    frame_id: int
    """Image number."""
    object_id: str
    """Name of the object bundle."""
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
    progress: Callable[[int, int], None] | None = None,
) -> list[PoseEvaluation]:
    """Judge every label of the given objects.

    Args:
        scene: Labelled recording.
        predictions: Poses of any objects; those of other objects and images are left out.
        bundles: The objects to judge.
        progress: Called with images done and images in all.

    Raises:
        InputError: A bundle belongs to no label, no prediction belongs to a bundle, or predictions are for images
            that the scene does not have.
        SceneError: There are no labels, or two of one object in one image.
    """
    ids = label_ids(scene, bundles)
    mine = of_scene(predictions, scene.path.name)
    check_frames({p.frame_id for p in mine}, scene)
    best = _best_by_frame(mine, bundles, ids)
    states = {(p.frame_id, p.object_id): p.state for p in mine}
    quality = _read_quality(scene)
    judges = [_ObjectJudge(scene, bundle) for bundle in bundles]
    found: list[PoseEvaluation] = []
    for done, frame_id in enumerate(scene.frame_ids, start=1):
        labels = scene.ground_truth(frame_id)
        for judge, label_id in zip(judges, ids, strict=True):
            indices = [index for index, label in enumerate(labels) if label.object_id == label_id]
            if len(indices) > 1:
                what = f"{scene.labels_path} image {frame_id}"
                got = f"{len(indices)} labels of object {label_id}"
                raise SceneError(mismatch(what, got, "at most one", "evaluate scenes with one instance per object"))
            if indices:
                T_pred = best.get((frame_id, judge.bundle.object_id))
                T_true = labels[indices[0]].T_cam_obj
                judged = judge.judge(frame_id, indices[0], T_true, T_pred, quality.get(frame_id))
                state = states.get((frame_id, judge.bundle.object_id))
                share = scene.visible_share(frame_id, indices[0])
                found.append(replace(judged, state=state, visible_share=share))
        if progress is not None:
            progress(done, len(scene))
    return found


class _ObjectJudge:
    """One object's model, ready for every image of a scene."""

    def __init__(self, scene: BopScene, bundle: ObjectBundle) -> None:
        T = bundle.T_obj_centre
        self.bundle = bundle
        self._scene = scene
        self._model = ModelPoints(transform(T, bundle.mesh.vertices), T @ bundle.symmetries @ invert(T))

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
            add_s_m=self._model.add_s(T_true, T_pred),
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


def _best_by_frame(
    predictions: Iterable[Prediction], bundles: Sequence[ObjectBundle], label_ids: Sequence[int]
) -> Mapping[tuple[int, str], Float64]:
    """The most confident pose per image and object name."""
    names = {bundle.object_id: bundle.object_id for bundle in bundles}
    names |= {str(label_id): bundle.object_id for label_id, bundle in zip(label_ids, bundles, strict=True)}
    seen: set[str] = set()
    best: dict[tuple[int, str], Prediction] = {}
    for prediction in predictions:
        seen.add(prediction.object_id)
        name = names.get(prediction.object_id)
        if name is None or prediction.T_cam_obj is None:
            continue
        key = (prediction.frame_id, name)
        if key not in best or prediction.score > best[key].score:
            best[key] = prediction
    for bundle in bundles:
        if not any(names.get(name) == bundle.object_id for name in seen):
            got = "objects " + ", ".join(sorted(seen))
            raise InputError(
                mismatch("predictions", got, f"'{bundle.object_id}'", "name the object that was tracked")
            )
    return {key: p.T_cam_obj for key, p in best.items() if p.T_cam_obj is not None}


def _read_quality(scene: BopScene) -> dict[int, str]:
    """Class of every image's label; empty where the scene has none."""
    path = scene.path / QUALITY
    if not path.is_file():
        return {}
    try:
        return {int(key): str(entry["quality"]) for key, entry in parse_json(path.read_bytes()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(
            mismatch(path, got, 'entries such as "0": {"quality": "A"}', "repair or remove it")
        ) from error
