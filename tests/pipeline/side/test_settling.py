"""The side of a pose in the one image in which it was found: the best of what may be right, and what is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.geometry.symmetry import ContinuousSymmetry, symmetry_transforms
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.side.config import SettleConfig, SideConfig
from storm_edge.pipeline.side.settling import Settling
from storm_edge.pipeline.track.contract import FoundPose, SettledPose
from storm_edge.synthetic.primitives import box, revolve
from tests.pipeline.side.sides import BODY_X_M, K, bundle_of, marked_box, mug, picture, pose, speckled_can

AXIS = (BODY_X_M, 0.0, 0.0)


def settled(
    mesh: Mesh,
    right: np.ndarray,
    found: FoundPose,
    config: SideConfig | None = None,
    symmetries: np.ndarray | None = None,
) -> SettledPose:
    frame = picture(mesh, right)
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    return Settling(ObjectOnDevice(bundle_of(mesh, symmetries)), config or SideConfig()).settle(frame, buffers, found)


def mask_of(mesh: Mesh, T_cam_centre: np.ndarray) -> np.ndarray:
    return np.asarray(render(mesh, T_cam_centre, K, (240, 320)).mask[0] > 0)


def apart_deg(T_a: np.ndarray, T_b: np.ndarray) -> float:
    return float(np.rad2deg(rotation_angle(T_a[:3, :3], T_b[:3, :3])))


def banded_mug() -> Mesh:
    """With a dark rim: turned upside down about its handle it is not the same."""
    mesh = mug()
    colours = np.where(mesh.vertices[:, 2:] > 0.03, (0.1, 0.1, 0.2), (0.7, 0.2, 0.2))
    return make_mesh(mesh.vertices, mesh.faces, colours=colours)


@pytest.mark.parametrize("has_mask", [True, False])
@pytest.mark.parametrize("turn_deg", [0.0, 120.0, 180.0])
def test_a_turned_mug_is_put_right(turn_deg: float, has_mask: bool) -> None:
    right, found = pose(40.0, point_m=AXIS), pose(40.0 + turn_deg, point_m=AXIS)
    mask = mask_of(mug(), right) if has_mask else None
    answer = settled(banded_mug(), right, FoundPose(T_cam_centre=found, mask=mask))
    assert apart_deg(answer.T_cam_centre, right) < 5.0
    assert not answer.is_side_doubted
    assert answer.ambiguous is None
    if turn_deg == 0.0:
        np.testing.assert_array_equal(answer.T_cam_centre, found)


def test_a_mark_on_a_box_tells_its_side() -> None:
    answer = settled(marked_box(), pose(70.0), FoundPose(T_cam_centre=pose(250.0)))
    assert apart_deg(answer.T_cam_centre, pose(70.0)) < 5.0
    assert not answer.is_side_doubted


def dotted_box(dot: tuple[float, float, float]) -> Mesh:
    """A blue box with a dot of 1 cm, hardly paler, on the side towards +x."""
    vertices, faces = box((0.05, 0.08, 0.12), 0.005)
    is_dot = (vertices[:, 0] > 0.024) & (np.hypot(vertices[:, 1] - 0.01, vertices[:, 2] - 0.02) < 0.006)
    assert is_dot.any()
    return make_mesh(vertices, faces, colours=np.where(is_dot[:, None], dot, (0.2, 0.3, 0.7)))


@pytest.mark.parametrize(("has_mask", "dot"), [(True, (0.35, 0.45, 0.8)), (False, (0.42, 0.52, 0.8))])
def test_a_small_mark_is_enough_where_nothing_else_differs(has_mask: bool, dot: tuple[float, float, float]) -> None:
    mesh, right = dotted_box(dot), pose(90.0)
    found = FoundPose(T_cam_centre=pose(270.0), mask=mask_of(mesh, right) if has_mask else None)
    assert apart_deg(settled(mesh, right, found).T_cam_centre, right) < 5.0
    unasked = SideConfig(settle=SettleConfig(lead=0.0))
    assert settled(mesh, right, found, unasked).ambiguous is not None


def test_a_box_without_a_mark_is_ambiguous_and_not_doubted() -> None:
    """Its sides look the same: no answer can be sure, and to be turned by half is no sign of a loss."""
    plain = marked_box((0.2, 0.3, 0.7))
    answer = settled(plain, pose(70.0), FoundPose(T_cam_centre=pose(70.0)))
    assert answer.ambiguous is not None
    assert not answer.is_side_doubted


def test_a_plain_can_is_ambiguous_all_around() -> None:
    vertices, faces = revolve(np.array([[0.03, -0.05], [0.03, 0.05]]), 0.008)
    can = make_mesh(vertices, faces, colours=np.full((len(vertices), 3), (0.2, 0.6, 0.3)))
    answer = settled(can, pose(), FoundPose(T_cam_centre=pose()))
    assert answer.ambiguous is not None
    assert answer.ambiguous.range_deg >= 330.0


def test_what_a_declared_symmetry_makes_is_the_same_pose() -> None:
    """Other turns of a can, and the can upside down, are neither told nor doubted."""
    vertices, faces = revolve(np.array([[0.03, -0.05], [0.03, 0.05]]), 0.008)
    can = make_mesh(vertices, faces, colours=np.full((len(vertices), 3), (0.2, 0.6, 0.3)))
    flip = make_T(exp_so3([np.pi, 0.0, 0.0]), np.zeros(3))
    symmetries = symmetry_transforms([flip], [ContinuousSymmetry(axis=(0.0, 0.0, 1.0))])
    others = np.stack([pose(77.0), pose(200.0), pose(33.0) @ flip])
    found = FoundPose(T_cam_centre=pose(), others=others, mask=mask_of(can, pose()))
    answer = settled(can, pose(), found, symmetries=symmetries)
    assert answer.ambiguous is None
    assert not answer.is_side_doubted


NO_TURNS = SideConfig(kept_surface=1.0)
"""No turn of the object's own is tried."""


def test_what_was_found_beside_it_may_win() -> None:
    right, found = pose(40.0, point_m=AXIS), pose(160.0, point_m=AXIS)
    answer = settled(banded_mug(), right, FoundPose(T_cam_centre=found), NO_TURNS)
    assert apart_deg(answer.T_cam_centre, right) > 30.0
    answer = settled(banded_mug(), right, FoundPose(T_cam_centre=found, others=np.stack([found, right])), NO_TURNS)
    assert apart_deg(answer.T_cam_centre, right) < 5.0


def test_what_costs_hardly_more_without_being_a_tie_is_doubted() -> None:
    config = replace(SideConfig(), settle=SettleConfig(tie=0.0))
    answer = settled(mug(), pose(40.0), FoundPose(T_cam_centre=pose(40.0)), config)
    assert answer.is_side_doubted
    assert answer.ambiguous is None


def test_more_is_searched_for_where_nothing_fits() -> None:
    right, wrong, asked = pose(40.0, point_m=AXIS), pose(160.0, point_m=AXIS), []

    def more() -> np.ndarray:
        asked.append(True)
        return right[None]

    config = replace(NO_TURNS, settle=SettleConfig(poor_cost=5.0))
    mask = mask_of(mug(), right)
    answer = settled(banded_mug(), right, FoundPose(T_cam_centre=wrong, mask=mask, more=more), config)
    assert asked
    assert apart_deg(answer.T_cam_centre, right) < 5.0
    asked.clear()
    settled(banded_mug(), right, FoundPose(T_cam_centre=right, mask=mask, more=more), config)
    assert not asked


def test_small_print_is_found_between_the_turns_of_the_fan() -> None:
    right, can = pose(), speckled_can()
    answer = settled(
        can, right, FoundPose(T_cam_centre=pose(105.0), mask=mask_of(can, right), more=lambda: np.zeros((0, 4, 4)))
    )
    assert apart_deg(answer.T_cam_centre, right) < 3.0
    assert not answer.is_side_doubted


def test_nothing_is_asked_where_it_is_switched_off() -> None:
    found = pose(160.0, point_m=AXIS)
    config = replace(SideConfig(), settle=SettleConfig(enabled=False))
    answer = settled(mug(), pose(40.0, point_m=AXIS), FoundPose(T_cam_centre=found), config)
    np.testing.assert_array_equal(answer.T_cam_centre, found)
    assert not answer.is_side_doubted
