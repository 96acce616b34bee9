"""Whether a pose of a tracked recording is right: by the scene's labels, or by what the run itself said."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.evaluate.predictions import Prediction
from storm_edge.geometry.se3 import invert, transform
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle

Float64 = NDArray[np.float64]


class Truth:
    """Says by the scene's labels whether a pose is right.

    Args:
        scene: A labelled scene.
        bundle: The object.
        right_share: Largest error of a right pose [diameters].
    """

    def __init__(self, scene: BopScene, bundle: ObjectBundle, right_share: float) -> None:
        self._scene, self._number = scene, bundle.bop_id
        self._model, self._limit_m = _points(bundle), right_share * bundle.diameter_m

    def __call__(self, frame_id: int, T_cam_obj: Float64, of_frame: int) -> bool | None:
        """Whether the pose is right in that frame; None where the frame has no labels."""
        if not self._scene.is_labelled(frame_id):
            return None
        labels = self._scene.ground_truth(frame_id)
        truths = [x.T_cam_obj for x in labels if self._number in (None, x.object_id)]
        return any(self._model.add_symmetric(T, T_cam_obj) < self._limit_m for T in truths)


class Verdict:
    """Says by the run's own states whether a pose is right; one of another frame, by the pose that it believed.

    Args:
        track: What was reported of one object, by frame.
        bundle: The object.
        right_share: Largest error of a right pose [diameters].
    """

    def __init__(self, track: Mapping[int, Prediction], bundle: ObjectBundle, right_share: float) -> None:
        self._model, self._limit_m = _points(bundle), right_share * bundle.diameter_m
        self._right = {f: a.T_cam_obj for f, a in track.items() if a.state == TrackState.TRACKING.value}
        self._lost: set[int] = set()
        doubted: list[int] = []
        for frame_id in sorted(track):
            state = track[frame_id].state
            if state == TrackState.SUSPECT.value:
                doubted.append(frame_id)
                continue
            if state == TrackState.LOST.value:
                self._lost.update(doubted)
            doubted = []

    def __call__(self, frame_id: int, T_cam_obj: Float64, of_frame: int) -> bool | None:
        """Whether the pose of ``of_frame`` is right in ``frame_id``; None where the run does not say."""
        believed = self._right.get(frame_id)
        if believed is None:
            return False if frame_id in self._lost and of_frame == frame_id else None
        return of_frame == frame_id or self._model.add_symmetric(believed, T_cam_obj) < self._limit_m


def _points(bundle: ObjectBundle) -> ModelPoints:
    T = bundle.T_obj_centre
    return ModelPoints(transform(T, bundle.mesh.vertices), T @ bundle.symmetries @ invert(T))
