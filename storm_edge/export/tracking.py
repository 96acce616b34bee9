"""Tracking with RefineNet's engines in place: are recordings followed as well as before?

A single registration forgives much that a recording does not: what is a little worse in every frame adds up, and a
pose that ends in another valley stays there. RefineNet is asked on every frame here, not only in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene
from storm_edge.engines.contract import Engine
from storm_edge.errors import MaskError, UnitError
from storm_edge.evaluate.metrics import ModelPoints, auc
from storm_edge.export.recipe import Recipe
from storm_edge.export.registration import SCHEDULE, OpenedBundle
from storm_edge.frame import Frame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from storm_edge.synthetic.scene_renderer import OBJECT_ID, write_scene
from storm_edge.synthetic.scenes import evaluation_sequences
from storm_edge.synthetic.splits import SEQUENCES_VAL_GATE

_FRAMES = 20
_LOST_M = 1.0  # the error of a pose that could not be had at all: beyond what the AUC counts


@dataclass(frozen=True, kw_only=True)
class _Recording:
    """A held-out recording, short enough to be kept."""

    item: ObjectBundle
    frames: tuple[Frame, ...]
    mask: NDArray[np.bool_]
    T_cam_centre: NDArray[np.float64]


@cache
def _recording(index: int) -> _Recording:
    (script,) = evaluation_sequences(1, _FRAMES, SEQUENCES_VAL_GATE.seed(index))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scene"
        write_scene(path, script)
        item = onboard(path / "models" / f"obj_{OBJECT_ID:06d}.ply", "mm", view_subdivisions=2)
        scene = BopScene(path)
        ids = scene.frame_ids
        truth = [scene.ground_truth(i)[0].T_cam_obj @ item.T_obj_centre for i in ids]
        return _Recording(
            item=item,
            frames=tuple(scene.frame(i) for i in ids),
            mask=scene.mask_visib(ids[0], 0),
            T_cam_centre=np.stack(truth),
        )


def track_recordings(recipe: Recipe, engines: Mapping[str, Engine], *, count: int) -> float:
    """Follow held-out recordings from the mask of their first frame.

    Args:
        recipe: Says how its crops are made.
        engines: With ``refine``.
        count: Recordings.

    Returns:
        AUC of ADD-S to 0.1 m over all their frames [points of 100].
    """
    networks = OpenedBundle.around(recipe, engines)
    errors_m: list[float] = []
    for index in range(count):
        recording = _recording(index)
        errors_m += _follow(recording, networks)
    return auc(errors_m)


def _follow(recording: _Recording, networks: OpenedBundle) -> list[float]:
    """ADD-S in every frame [m]."""
    item, frames = recording.item, recording.frames
    points = ModelPoints(item.mesh.vertices)
    buffers = FrameBuffers(*frames[0].size_px)
    buffers.upload(frames[0])
    on_device = ObjectOnDevice(item)
    try:
        pose = Registrar(on_device, networks, config=SCHEDULE).register(buffers, recording.mask).T_cam_centre
    except (MaskError, UnitError):
        return [_LOST_M] * len(frames)
    refiner = PoseRefiner(on_device, networks, batch=2)
    config = StepwiseTrackConfig(ask_network="always")
    tracker = StepwiseTracker(on_device, refiner, config=config)
    tracker.start(buffers, pose)
    errors_m = [points.add_s(recording.T_cam_centre[0], pose)]
    for frame, truth in zip(frames[1:], recording.T_cam_centre[1:], strict=True):
        buffers.upload(frame)
        errors_m.append(points.add_s(truth, tracker.update(buffers).T_cam_centre))
    return errors_m
