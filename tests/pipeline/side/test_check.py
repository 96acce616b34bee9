"""The side of a pose: what contradicts it turns it, what cannot tell is said, what is right is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.geometry.symmetry import ContinuousSymmetry, symmetry_transforms
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.side.check import SideCheck
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.fan import fan_of
from storm_edge.synthetic.primitives import revolve
from tests.pipeline.side.sides import BODY_X_M, bundle_of, marked_box, mug, picture, pose

AXIS = (BODY_X_M, 0.0, 0.0)


def follow(mesh: Mesh, right: np.ndarray, start: np.ndarray, looks: int = 8) -> tuple[np.ndarray, bool, SideCheck]:
    """Look at a still picture again and again: the pose at the end, whether it was doubted, and the check."""
    item = ObjectOnDevice(bundle_of(mesh))
    check, tracker = SideCheck(item, SideConfig()), GeometricRefiner(item.viewpoints)
    T, is_doubted = start, False
    for index in range(looks):
        frame = picture(mesh, right, index)
        buffers = FrameBuffers(*frame.size_px)
        buffers.upload(frame)
        tracker.update_appearance(buffers, T, forget=True)
        answer = check.look(frame, buffers, T, tracker.appearance)
        is_doubted = is_doubted or answer.is_doubted
        T = T if answer.T_cam_centre_better is None else answer.T_cam_centre_better
    return T, is_doubted, check


def seen_mug(right: np.ndarray) -> tuple[SideCheck, Frame, FrameBuffers, AppearanceModel]:
    """A check of the mug, a picture of it, and the colours that the right pose teaches."""
    item = ObjectOnDevice(bundle_of(mug()))
    tracker, frame = GeometricRefiner(item.viewpoints), picture(mug(), right)
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    tracker.update_appearance(buffers, right, forget=True)
    return SideCheck(item, SideConfig()), frame, buffers, tracker.appearance


def apart_deg(T_a: np.ndarray, T_b: np.ndarray) -> float:
    return float(np.rad2deg(rotation_angle(T_a[:3, :3], T_b[:3, :3])))


@pytest.mark.parametrize("turn_deg", [60.0, 120.0, 180.0, -90.0])
def test_a_handle_that_should_be_seen_elsewhere_turns_the_track(turn_deg: float) -> None:
    right = pose(40.0, point_m=AXIS)
    T, is_doubted, _ = follow(mug(), right, pose(40.0 + turn_deg, point_m=AXIS))
    assert is_doubted
    assert apart_deg(T, right) < 8.0


def test_a_mark_turns_a_box_that_sits_the_wrong_way_round() -> None:
    right = pose(80.0)
    T, is_doubted, _ = follow(marked_box(), right, pose(260.0))
    assert is_doubted
    assert apart_deg(T, right) < 5.0


def test_brightness_alone_tells_a_mark() -> None:
    """A mark of the box's own hue, only darker: without brightness both sides would look alike."""
    mesh = marked_box(mark=(0.08, 0.12, 0.28))
    right = pose(80.0)
    T, _, _ = follow(mesh, right, pose(260.0))
    assert apart_deg(T, right) < 5.0


@pytest.mark.parametrize("mesh", [mug(), marked_box()], ids=["mug", "box"])
def test_a_right_pose_is_never_doubted(mesh: Mesh) -> None:
    for turn_deg in (0.0, 75.0, 150.0):
        right = pose(turn_deg, point_m=AXIS)
        T, is_doubted, check = follow(mesh, right, right)
        assert not is_doubted
        np.testing.assert_array_equal(T, right)
        assert check.ambiguity is None or check.ambiguity.range_deg < 91.0


@pytest.mark.parametrize(("turn_deg", "is_found"), [(30.0, True), (0.0, False)])
def test_a_look_at_the_nearest_turns_finds_a_track_that_stayed_behind(turn_deg: float, is_found: bool) -> None:
    """The colours are known from before: the track learned nothing at a pose that fits badly."""
    right, T = pose(40.0, point_m=AXIS), pose(40.0 + turn_deg, point_m=AXIS)
    check, frame, buffers, appearance = seen_mug(right)
    assert check.has_near_turns
    check.look(frame, buffers, T, appearance, near_only=True)
    assert check.is_hearing is is_found


@pytest.mark.parametrize("behind_deg", [8.0, 14.0, 20.0, -14.0])
def test_a_track_that_is_a_little_behind_goes_on_from_where_the_refinement_ends(behind_deg: float) -> None:
    right, T = pose(40.0, point_m=AXIS), pose(40.0 + behind_deg, point_m=AXIS)
    check, frame, buffers, appearance = seen_mug(right)
    check.look(frame, buffers, T, appearance, near_only=True, hear_nearest=True)
    assert check.is_hearing
    answer = check.look(frame, buffers, T, appearance, near_only=True)
    assert answer.T_cam_centre_better is not None
    assert apart_deg(answer.T_cam_centre_better, right) < 3.0
    assert not answer.is_doubted
    assert not check.is_hearing


def test_the_nearest_turns_are_heard_again_where_asked_for() -> None:
    """At a right pose they lose; that is remembered, unless something says that the pose is wrong."""
    right = pose(40.0, point_m=AXIS)
    check, frame, buffers, appearance = seen_mug(right)
    for _ in range(2):
        check.look(frame, buffers, right, appearance, near_only=True, hear_nearest=True)
        assert check.is_hearing
        answer = check.look(frame, buffers, right, appearance, near_only=True)
        assert answer.T_cam_centre_better is None
        assert not answer.is_doubted
        assert not check.is_hearing


def test_a_jump_interrupts_what_is_heard() -> None:
    item = ObjectOnDevice(bundle_of(mug()))
    check, tracker = SideCheck(item, SideConfig()), GeometricRefiner(item.viewpoints)
    right = pose(40.0, point_m=AXIS)
    frame = picture(mug(), right)
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    check.look(frame, buffers, right, tracker.appearance, near_only=True, hear_nearest=True)
    assert check.is_hearing
    check.interrupt()
    assert not check.is_hearing


def test_what_the_image_cannot_tell_is_told_and_not_doubted() -> None:
    """A can of one colour without a declared symmetry: every turn about its axis looks the same."""
    vertices, faces = revolve(np.array([[0.03, -0.05], [0.03, 0.05]]), 0.008)
    can = make_mesh(vertices, faces, colours=np.full((len(vertices), 3), (0.2, 0.6, 0.3)))
    _, is_doubted, check = follow(can, pose(), pose(90.0), looks=6)
    assert not is_doubted
    assert check.ambiguity is not None
    assert abs(check.ambiguity.axis[2]) > 0.99
    assert check.ambiguity.range_deg >= 330.0


def test_a_declared_symmetry_is_no_question() -> None:
    vertices, faces = revolve(np.array([[0.03, -0.05], [0.03, 0.05]]), 0.008)
    can = make_mesh(vertices, faces)
    symmetries = symmetry_transforms(
        [make_T(exp_so3([np.pi, 0.0, 0.0]), np.zeros(3))], [ContinuousSymmetry(axis=(0.0, 0.0, 1.0))]
    )
    bundle = bundle_of(can, symmetries)
    assert not len(fan_of(bundle.near_symmetries, symmetries, SideConfig()).motions)
