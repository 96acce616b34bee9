"""Far recordings: only the distance differs, the board hides the object, and an absent object is in no picture."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.camera import project
from storm_edge.synthetic.far_scenes import FOCAL_PX, FarKind, far_scene
from storm_edge.synthetic.scene_renderer import SceneRenderer


def test_a_mug_of_150_mm_is_at_most_30_px_wide_at_3_m() -> None:
    mask = SceneRenderer(far_scene(0, 3.0, FarKind.STILL, frame_count=1).script).render_frame(0).mask
    assert 15 < mask.any(axis=0).sum() <= FOCAL_PX * 0.15 / 3.0 + 1


def test_only_the_distance_differs() -> None:
    near, far = (far_scene(3, distance_m, FarKind.STILL) for distance_m in (0.5, 3.0))
    assert near.script.sensor == far.script.sensor
    assert near.script.appearance == far.script.appearance
    for a, b in zip((near.script.target, *near.script.others), (far.script.target, *far.script.others), strict=True):
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        np.testing.assert_array_equal(a.T_world_obj, b.T_world_obj)
    assert [np.linalg.norm(scene.script.T_cam_obj(0)[:3, 3]) for scene in (near, far)] == pytest.approx([0.5, 3.0])


def test_a_board_hides_the_object_for_a_third_and_goes() -> None:
    renderer = SceneRenderer(far_scene(2, 3.0, FarKind.PASSED, frame_count=24).script)
    shares = [renderer.visible_share(i) for i in range(24)]
    assert shares[0] == shares[-1] == 1.0
    assert 6 <= sum(share < 0.2 for share in shares) <= 10


def test_an_absent_object_is_in_no_picture_and_its_neighbour_is() -> None:
    scene = far_scene(0, 3.0, FarKind.ABSENT, frame_count=1)
    assert not SceneRenderer(scene.script).render_frame(0).mask.any()
    at = project(scene.script.K, scene.T_cam_neighbour[None, :3, 3])[0]
    assert (at > 0).all()
    assert (at < (640, 480)).all()
