"""Poses of one scene against its labels by the errors of the BOP challenge; what is summed is `average_recall`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.models import ModelInfo
from storm_edge.bop.scene import BopScene
from storm_edge.evaluate.average_recall import WIDTH_PX, RecallCounts, TargetErrors, target_labels
from storm_edge.evaluate.bop_errors import TAUS, mspd, mssd, points_of, symmetry_motions, vsd
from storm_edge.evaluate.pose_evaluation import answers_by_frame, label_ids
from storm_edge.evaluate.predictions import Prediction
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert, transform
from storm_edge.objects.bundle import ObjectBundle

Float64 = NDArray[np.float64]
Counts = Mapping[tuple[int, int], int]
"""Instances to be found by image and object number."""


@dataclass(frozen=True, kw_only=True)
class RecallObject:
    """An object as the challenge measures it."""

    bundle: ObjectBundle
    """The object."""
    diameter_m: float
    """By `models_info.json` where there is one [m]."""
    points: Float64
    """Model points in the object's frame [m], ``(P, 3)``."""
    symmetries: Float64
    """Motions of that frame ``(S, 4, 4)``."""


def recall_object(bundle: ObjectBundle, info: ModelInfo | None) -> RecallObject:
    """An object with the size and symmetries of `models_info.json`, or its own where that says nothing of it."""
    T = bundle.T_obj_centre
    return RecallObject(
        bundle=bundle,
        diameter_m=bundle.diameter_m if info is None else info.diameter_m,
        points=points_of(transform(T, bundle.mesh.vertices)),
        symmetries=T @ bundle.symmetries @ invert(T) if info is None else symmetry_motions(info),
    )


def count_scene(
    scene: BopScene,
    predictions: Iterable[Prediction],
    objects: Sequence[RecallObject],
    *,
    targets: Counts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, RecallCounts]:
    """Match all estimates of a scene, by name of object.

    Args:
        scene: Labelled recording.
        predictions: Poses of any objects.
        objects: Those to judge.
        targets: What is to be found; None for every label that is visible enough.
        progress: Called with images done and in all.

    Raises:
        StormEdgeError: As `pose_evaluation.evaluate_scene`, or an image cannot be read.
    """
    bundles = [item.bundle for item in objects]
    ids = label_ids(scene, bundles)
    answers = answers_by_frame(predictions, bundles, ids, answered=False)
    counts = {item.bundle.object_id: RecallCounts() for item in objects}
    for done, frame_id in enumerate(scene.frame_ids, start=1):
        frame: Frame | None = None
        for item, number in zip(objects, ids, strict=True):
            chosen = _labels(scene, frame_id, number, targets)
            if not chosen:
                continue
            frame = frame or scene.frame(frame_id)
            given = answers.get((frame_id, item.bundle.object_id), [])
            posed = sorted((a for a in given if a.T_cam_obj is not None), key=lambda a: -a.score)[: len(chosen)]
            estimated = [a.T_cam_obj for a in posed if a.T_cam_obj is not None]
            truths = [scene.ground_truth(frame_id)[index].T_cam_obj for index in chosen]
            counts[item.bundle.object_id].add(target_errors(item, frame, truths, estimated))
        if progress is not None:
            progress(done, len(scene))
    return counts


def target_errors(
    item: RecallObject, frame: Frame, truths: Sequence[Float64], estimated: Sequence[Float64]
) -> TargetErrors:
    """All errors of a target; poses ``(4, 4)``, estimates best first."""
    from storm_edge.kernels.renderer import render  # starts Warp

    def depth(T: Float64) -> NDArray[np.float32]:
        picture = render(item.bundle.mesh, T @ item.bundle.T_obj_centre, frame.K, frame.size_px)
        return np.asarray(picture.depth[0])

    shape = (len(estimated), len(truths))
    errors = TargetErrors(
        vsd=np.ones((*shape, len(TAUS))), mssd=np.zeros(shape), mspd=np.zeros(shape), count=len(truths)
    )
    true_depths = [depth(T) for T in truths] if estimated else []
    width_factor = WIDTH_PX / frame.size_px[1]
    for e, T in enumerate(estimated):
        seen = depth(T)
        for g, T_true in enumerate(truths):
            errors.vsd[e, g] = vsd(true_depths[g], seen, frame.depth_m, frame.K, item.diameter_m)
            errors.mssd[e, g] = mssd(T_true, T, item.points, item.symmetries) / item.diameter_m
            errors.mspd[e, g] = mspd(T_true, T, item.points, item.symmetries, frame.K) * width_factor
    return errors


def _labels(scene: BopScene, frame_id: int, number: int, targets: Counts | None) -> list[int]:
    """Places of the labels of an object in an image that are to be found."""
    indices = [i for i, label in enumerate(scene.ground_truth(frame_id)) if label.object_id == number]
    count = None if targets is None else targets.get((frame_id, number), 0)
    shares = [scene.visible_share(frame_id, index) for index in indices]
    return [indices[i] for i in target_labels(shares, count)]
