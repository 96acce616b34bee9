"""Geometric refinement on rendered pictures with known poses, and on the first frames of a real recording."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import warp as wp

from storm_edge.errors import InputError, MaskError
from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.objects.viewpoints import build_viewpoints
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.motion import motion_starts
from storm_edge.synthetic.objects import make_object
from tests.kernels.tracking import K_CAMERA, T_TRUE, handled_box, moved, picture, views


class Buffers:
    """A picture on the device, as the refiner reads it."""

    def __init__(self, shot, device="cpu"):
        self.rgb = wp.array(shot.rgb, dtype=wp.uint8, device=device)
        self.depth = wp.array(shot.depth, dtype=wp.float32, device=device)
        self.K = K_CAMERA


def error(T, T_true=T_TRUE):
    """Rotation [deg] and translation [mm] error."""
    angle = np.rad2deg(rotation_angle(T[..., :3, :3], T_true[:3, :3]))
    return angle, 1e3 * np.linalg.norm(T[..., :3, 3] - T_true[:3, 3], axis=-1)


def uploaded(*, plain=False):
    """The box's views on the CPU."""
    return ViewpointBuffers.from_viewpoints(views(plain=plain))


@pytest.fixture(scope="module")
def refiner():
    return GeometricRefiner(uploaded(), batch=16)


@pytest.fixture
def frame(refiner):
    """The picture, learned at its true pose."""
    buffers = Buffers(picture())
    refiner.update_appearance(buffers, T_TRUE, forget=True)
    return buffers


def test_small_errors_vanish(refiner, frame, rng):
    """5 deg and 5 mm off: back to half of the least that issue 2 asks for."""
    for _ in range(5):
        result = refiner.refine(frame, moved(T_TRUE, 5.0, 0.005, rng))
        angle, distance_mm = error(result.T_cam_centre)
        assert result.accepted
        assert angle < 0.5  # worst seen 0.2
        assert distance_mm < 0.5  # worst seen 0.2
        assert result.residual < 0.15


def test_large_errors_vanish_by_searching_wider(refiner, frame, rng):
    """30 deg and 20 mm, as far as a mug moves between two frames of a hand's quickest turn."""
    for _ in range(5):
        result = refiner.refine(frame, moved(T_TRUE, 30.0, 0.02, rng))
        angle, distance_mm = error(result.T_cam_centre)
        assert angle < 1.0
        assert distance_mm < 1.0
        assert result.budget != "small"


def test_the_true_pose_is_kept_with_little_effort(refiner, frame):
    result = refiner.refine(frame, T_TRUE)
    assert result.budget == "small"
    assert result.iterations <= len(refiner.config.small) + len(refiner.config.narrow)
    assert error(result.T_cam_centre)[0] < 0.5
    assert result.inliers > 0.97
    assert result.hidden < 0.03
    assert result.depth_residual_m < 0.001


def test_depth_alone_refines_before_colours_are_known(rng):
    refiner = GeometricRefiner(uploaded(), batch=2)
    result = refiner.refine(Buffers(picture()), moved(T_TRUE, 5.0, 0.005, rng))
    angle, distance_mm = error(result.T_cam_centre)
    assert angle < 1.5
    assert distance_mm < 1.5


def test_a_plain_object_has_no_colour_term(rng):
    refiner = GeometricRefiner(uploaded(plain=True), batch=2)
    frame = Buffers(picture(mesh=handled_box(plain=True)))
    refiner.update_appearance(frame, T_TRUE, forget=True)
    result = refiner.refine(frame, moved(T_TRUE, 5.0, 0.005, rng))
    angle, distance_mm = error(result.T_cam_centre)
    assert angle < 1.0
    assert distance_mm < 1.0
    assert result.residual < 0.15  # a correlation with nothing would be a term of about 1


def test_an_occluder_does_not_drag_the_pose(refiner, frame, rng):
    """A green board 8 cm in front of the object hides a third of it and moves between learning and refinement."""
    shot = picture()
    shot.rgb[:, :155] = (20, 160, 40)
    shot.depth[:, :155] = 0.52
    result = refiner.refine(Buffers(shot), moved(T_TRUE, 4.0, 0.004, rng))
    angle, distance_mm = error(result.T_cam_centre)
    assert result.hidden > 0.15
    assert angle < 1.0
    assert distance_mm < 1.0


@pytest.mark.parametrize("reading", [0.0, np.nan])
def test_without_depth_the_pose_stays_finite_and_is_held_by_colour(refiner, frame, rng, reading):
    shot = picture()
    shot.depth[:] = reading
    result = refiner.refine(Buffers(shot), moved(T_TRUE, 2.0, 0.002, rng))
    assert np.isfinite(result.T_cam_centre).all()
    assert np.isfinite(result.residual)
    assert error(result.T_cam_centre)[0] < 5.0


def test_nothing_to_see_changes_nothing(refiner, frame):
    """The object behind the camera's back, at its side, or given as NaN: no crash, the worst residual."""
    for t in ([0.0, 0.0, -0.5], [5.0, 0.0, 0.6], [np.nan, 0.0, 0.6]):
        start = make_T(T_TRUE[:3, :3], t)
        result = refiner.refine(frame, start)
        np.testing.assert_allclose(result.T_cam_centre, start, atol=1e-6)
        assert result.residual == 1.0


def test_a_worse_pose_is_not_accepted(frame):
    """Nothing lowers the residual by a whole 1; the start is reported then."""
    strict = GeometricRefiner(uploaded(), batch=9, config=GeometricConfig(tolerance=-1.0, probe_every=0))
    strict.update_appearance(frame, T_TRUE, forget=True)
    result = strict.refine(frame, T_TRUE)
    assert not result.accepted
    np.testing.assert_allclose(result.T_cam_centre, T_TRUE, atol=1e-6)


def test_the_residual_grows_with_the_error(refiner, frame, rng):
    """The sign of a wrong track: a pose 10 deg off stands clear of the true one, one 40 deg off of both."""
    near = np.stack([moved(T_TRUE, 10.0, 0.01, rng) for _ in range(8)])
    far = np.stack([moved(T_TRUE, 40.0, 0.03, rng) for _ in range(8)])
    true = refiner.terms_at(frame, T_TRUE).residual[0]
    near, far = refiner.terms_at(frame, near).residual, refiner.terms_at(frame, far).residual
    assert true < 0.12
    assert near.min() > true + 0.1
    assert np.median(far) > np.median(near) + 0.1
    assert far.max() <= 1.0


def test_a_batch_refines_each_hypothesis(refiner, rng):
    """Registration's use: a mask instead of learned colours, more hypotheses than the batch holds."""
    shot = picture()
    mask = shot.depth < 0.72
    starts = np.stack([moved(T_TRUE, angle, 0.008, rng) for angle in np.linspace(2.0, 15.0, 20)])
    poses, residuals = refiner.refine_batch(Buffers(shot), starts, iterations=10, mask=mask)
    angle, distance_mm = error(poses)
    assert poses.shape == (20, 4, 4)
    assert np.median(angle) < 1.0
    assert np.median(distance_mm) < 1.0
    before = refiner.terms_at(Buffers(shot), starts[:16]).residual
    assert (residuals[:16] <= before + 1e-6).all()
    assert residuals[angle > 10.0].min(initial=1.0) > residuals[angle < 1.0].max()


def test_a_batch_and_single_poses_agree(refiner, frame, rng):
    starts = np.stack([moved(T_TRUE, 5.0, 0.005, rng) for _ in range(3)])
    together, _ = refiner.refine_batch(frame, starts)
    alone = np.concatenate([refiner.refine_batch(frame, start)[0] for start in starts])
    np.testing.assert_array_equal(together, alone)


def test_more_poses_than_the_batch_are_refused(refiner, frame):
    with pytest.raises(InputError, match="larger batch"):
        refiner.terms_at(frame, np.tile(np.eye(4), (17, 1, 1)))


def test_masks_of_another_size_or_without_a_pixel_are_refused(refiner, frame):
    with pytest.raises(MaskError, match="like the image"):
        refiner.refine_batch(frame, T_TRUE, mask=np.ones((10, 10), dtype=bool))
    with pytest.raises(MaskError, match="no object pixel"):
        refiner.refine_batch(frame, T_TRUE, mask=np.zeros(frame.depth.shape, dtype=bool))


def test_new_buffers_are_read(refiner, frame, rng):
    """Launches are recorded with their addresses; a frame in other buffers must not be judged by the old picture."""
    T_other = make_T(exp_so3([0.0, 0.0, 1.0]) @ T_TRUE[:3, :3], [-0.03, 0.02, 0.6])
    other = Buffers(picture(T_other))
    assert refiner.terms_at(other, T_other).residual[0] < 0.15
    assert refiner.terms_at(frame, T_other).residual[0] > 0.4
    assert refiner.terms_at(other, T_other).residual[0] < 0.15


def test_changed_images_in_the_same_buffers_are_read(refiner, frame):
    T_other = make_T(exp_so3([0.0, 0.0, 1.0]) @ T_TRUE[:3, :3], [-0.03, 0.02, 0.6])
    shot = picture(T_other)
    frame.rgb.assign(shot.rgb)
    frame.depth.assign(shot.depth)
    assert refiner.terms_at(frame, T_other).residual[0] < 0.15


def test_learning_follows_a_change_of_light(refiner, frame):
    """Half the light within twenty frames: the statistics and the exposure follow, the residual stays low."""
    for share in np.linspace(1.0, 0.5, 20):
        shot = picture()
        dimmed = Buffers(dataclasses.replace(shot, rgb=(shot.rgb * share).astype(np.uint8)))
        result = refiner.refine(dimmed, T_TRUE)
        refiner.update_appearance(dimmed, result.T_cam_centre)
    assert result.residual < 0.2
    assert error(result.T_cam_centre)[0] < 0.5


def test_its_texture_holds_a_can_about_its_axis():
    """3 deg per frame about the axis, which depth and contour do not see: without the texture it lags by 15 deg."""
    can = make_object(7, family="can", paint_kind="clouds", diameter_m=0.12, face_count=4000).mesh
    start = make_T(exp_so3([1.3, 0.2, -0.3]), [0.02, -0.01, 0.55])
    truth = make_T(start[:3, :3] @ exp_so3(np.deg2rad(3.0) * np.arange(10)[:, None] * [0, 0, 1]), start[:3, 3])
    refiner = GeometricRefiner(ViewpointBuffers.from_viewpoints(build_viewpoints(can, subdivisions=2)))
    frame = Buffers(picture(truth[0], can))
    refiner.update_appearance(frame, truth[0], forget=True)
    pose = before = truth[0]
    for index in range(1, 10):
        shot = picture(truth[index], can, seed=index)
        frame.rgb.assign(shot.rgb)
        frame.depth.assign(shot.depth)
        before, pose = pose, refiner.refine(frame, motion_starts(pose, before)).T_cam_centre
        refiner.update_appearance(frame, pose)
    assert error(pose, truth[-1])[0] < 1.5


@pytest.mark.data
def test_a_real_mug_is_followed_through_its_fastest_turn(shared_data):
    """cup, frames 0-20: blur, a hand around the mug, 27 deg and 24 mm between frames 8 and 9."""
    from storm_edge.bop.scene import BopScene
    from storm_edge.objects.mesh_io import load_mesh
    from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

    scene = BopScene(shared_data / "cup", labels="scene_gt_pseudo.json")
    mesh = load_mesh(shared_data / "cup" / "models" / "obj_000001.ply", unit="mm")
    low, high = mesh.bounds()
    T_obj_centre = make_T(np.eye(3), (low + high) / 2.0)
    mesh = dataclasses.replace(mesh, vertices=mesh.vertices - (low + high) / 2.0)
    refiner = GeometricRefiner(ViewpointBuffers.from_viewpoints(build_viewpoints(mesh, subdivisions=2)))
    buffers = FrameBuffers(*scene.frame(0).size_px)
    pose = before = scene.ground_truth(0)[0].T_cam_obj @ T_obj_centre
    for index in range(21):
        buffers.upload(scene.frame(index))
        if index == 0:
            refiner.update_appearance(buffers, pose, forget=True)
        result = refiner.refine(buffers, motion_starts(pose, before))
        refiner.update_appearance(buffers, result.T_cam_centre)
        before, pose = pose, result.T_cam_centre
        truth = scene.ground_truth(index)[0].T_cam_obj @ T_obj_centre
        add_m = np.linalg.norm((mesh.vertices @ (pose - truth)[:3, :3].T) + (pose - truth)[:3, 3], axis=1).mean()
        assert add_m < 0.0158  # a tenth of the diameter; worst seen 0.009 at the fastest turn
        assert result.residual < 0.55  # worst seen 0.50 there
