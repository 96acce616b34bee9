"""A mug of 150 mm, at most 30 px wide at 3 m: a right pose is believed there, and a wrong one is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import reduce_by_symmetry, rotation_grid
from storm_edge.objects.bundle import ModelSource, ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.viewpoints import build_viewpoints
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from storm_edge.synthetic.far_scenes import FarKind, FarScene, far_scene
from storm_edge.synthetic.scene_renderer import LabelledFrame, SceneRenderer

BELIEVED = 0.5
DOUBTED = 0.4


@cache
def mug() -> ObjectOnDevice:
    item = far_scene(0, 1.0, FarKind.STILL).item
    return ObjectOnDevice(
        ObjectBundle(
            object_id="mug",
            mesh=item.mesh,
            mesh_lod=item.mesh,
            diameter_m=item.diameter_m,
            T_obj_centre=np.eye(4),
            symmetries=item.symmetries,
            rotation_grid=reduce_by_symmetry(rotation_grid(subdivisions=0, inplane_count=1), item.symmetries),
            viewpoints=build_viewpoints(item.mesh, subdivisions=1),
            source=ModelSource(name="mug", sha256="0" * 64, unit="m"),
        )
    )


@cache
def scene(distance_m: float) -> tuple[FarScene, tuple[LabelledFrame, ...]]:
    made = far_scene(0, distance_m, FarKind.STILL, frame_count=4)
    return made, tuple(SceneRenderer(made.script))


def confidences(distance_m: float, T_cam_obj: np.ndarray) -> list[float]:
    """Of a track that begins at a pose."""
    _, frames = scene(distance_m)
    tracker, buffers = StepwiseTracker(mug(), None), FrameBuffers(*frames[0].frame.size_px)
    buffers.upload(frames[0].frame)
    found = [tracker.start(buffers, T_cam_obj).confidence]
    for item in frames[1:]:
        buffers.upload(item.frame)
        found.append(tracker.update(buffers).confidence)
    return found


@pytest.mark.parametrize("distance_m", [0.5, 2.0, 3.0])
def test_a_right_pose_is_believed(distance_m: float) -> None:
    made, frames = scene(distance_m)
    assert frames[0].mask.any(axis=0).sum() < 620 * 0.15 / distance_m
    assert min(confidences(distance_m, made.script.T_cam_obj(0))) > BELIEVED


@pytest.mark.parametrize("distance_m", [0.5, 3.0])
def test_half_a_width_aside_is_doubted(distance_m: float) -> None:
    made, _ = scene(distance_m)
    T = made.script.T_cam_obj(0).copy()
    T[0, 3] += 0.5 * made.item.diameter_m
    assert confidences(distance_m, T)[0] < DOUBTED


@pytest.mark.parametrize("distance_m", [0.5, 2.0, 3.0])
def test_a_neighbour_of_the_same_size_is_doubted(distance_m: float) -> None:
    """At 3 m noise hides the difference of the shapes; the colours are another's."""
    made, _ = scene(distance_m)
    T = make_T(made.script.T_cam_obj(0)[:3, :3], made.T_cam_neighbour[:3, 3])
    assert max(confidences(distance_m, T)) < DOUBTED
