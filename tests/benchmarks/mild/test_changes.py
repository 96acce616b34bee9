"""Changed recordings: their truth moves with them, as projection says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.mild.changes import (
    CUT_MARGIN_PX,
    CUT_SHARES,
    Cut,
    Shot,
    cropped,
    free_border,
    later_start,
    lit,
    mirrored,
    mirrored_info,
    mirrored_mesh,
    saved_as_jpeg,
)
from storm_edge.bop.labels import GroundTruth
from storm_edge.frame import Frame
from storm_edge.geometry.camera import project
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, is_rigid, make_T, transform

K = np.array([[180.0, 0.0, 83.0], [0.0, 170.0, 55.0], [0.0, 0.0, 1.0]])
SIZE_PX = (120, 160)
WEDGE = make_mesh(
    np.array([[0.0, 0.0, 0.0], [0.06, 0.0, 0.0], [0.0, 0.03, 0.0], [0.01, 0.0, 0.04]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)
"""No turn makes its mirror image of it."""


@pytest.fixture
def shot(rng: np.random.Generator) -> Shot:
    frame = Frame(
        rgb=rng.integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8),
        depth_m=rng.uniform(0.3, 0.9, SIZE_PX).astype(np.float32),
        K=K,
        index=4,
    )
    label = GroundTruth(object_id=3, T_cam_obj=make_T(exp_so3([0.4, -0.7, 0.2]), [0.03, -0.02, 0.5]))
    return Shot(frame=frame, labels=(label,), masks=(frame.depth_m > 0.6,))


def seen_at(shot: Shot, vertices: np.ndarray) -> np.ndarray:
    return project(shot.frame.K, transform(shot.labels[0].T_cam_obj, vertices))


def test_the_mirrored_model_is_seen_where_the_mirror_shows_the_model(shot: Shot) -> None:
    changed, model = mirrored(shot), mirrored_mesh(WEDGE)
    before, after = seen_at(shot, WEDGE.vertices), seen_at(changed, model.vertices)
    np.testing.assert_allclose(after[:, 0], SIZE_PX[1] - 1 - before[:, 0], atol=1e-5)
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=1e-5)
    assert is_rigid(changed.labels[0].T_cam_obj)
    for image, was in ((changed.frame.rgb, shot.frame.rgb), (changed.frame.depth_m, shot.frame.depth_m)):
        np.testing.assert_array_equal(image, was[:, ::-1])
    np.testing.assert_array_equal(changed.masks[0], shot.masks[0][:, ::-1])


def test_the_outside_of_the_mirrored_model_is_its_outside() -> None:
    """The volume of a surface is positive where its faces are counter-clockwise from outside."""

    def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
        return float(np.linalg.det(vertices[faces].astype(np.float64)).sum() / 6.0)

    model = mirrored_mesh(WEDGE)
    assert volume(WEDGE.vertices, WEDGE.faces) > 0.0
    assert volume(model.vertices, model.faces) == pytest.approx(volume(WEDGE.vertices, WEDGE.faces))
    again = make_mesh(model.vertices, model.faces)
    np.testing.assert_allclose(model.normals, again.normals, atol=1e-6)


def test_twice_mirrored_is_as_before(shot: Shot) -> None:
    again = mirrored(mirrored(shot))
    np.testing.assert_allclose(again.frame.K, K)
    np.testing.assert_allclose(again.labels[0].T_cam_obj, shot.labels[0].T_cam_obj)
    np.testing.assert_array_equal(again.frame.rgb, shot.frame.rgb)
    np.testing.assert_array_equal(mirrored_mesh(mirrored_mesh(WEDGE)).faces, WEDGE.faces)


def test_box_and_symmetries_of_the_model_are_mirrored() -> None:
    """A half turn about a slanted axis through a point: the mirrored one goes about the mirrored axis and point."""
    axis, point = np.array([0.6, 0.8, 0.0]), np.array([10.0, -4.0, 2.0])
    R = exp_so3(np.pi * axis)
    half = make_T(R, point - R @ point)
    entry = {
        "diameter": 90.0,
        "min_x": -20.0,
        "size_x": 70.0,
        "min_y": 1.0,
        "symmetries_discrete": [half.reshape(-1).tolist()],
        "symmetries_continuous": [{"axis": [1, 0, 2], "offset": [3, 4, 5]}],
    }
    changed = mirrored_info(entry)
    assert (changed["diameter"], changed["min_x"], changed["size_x"], changed["min_y"]) == (90.0, -50.0, 70.0, 1.0)
    T = np.reshape(changed["symmetries_discrete"][0], (4, 4))
    mirrored_axis, mirrored_point = axis * [-1, 1, 1], point * [-1, 1, 1]
    for share in (-30.0, 0.0, 30.0):
        fixed = mirrored_point + share * mirrored_axis
        np.testing.assert_allclose(transform(T, fixed[None])[0], fixed, atol=1e-9)
    assert np.trace(T[:3, :3]) == pytest.approx(-1.0)
    assert changed["symmetries_continuous"] == [{"axis": [-1, 0, 2], "offset": [-3, 4, 5]}]


def test_a_cut_moves_what_is_seen_by_what_is_cut_off(shot: Shot) -> None:
    changed = cropped(shot, Cut(left=12, top=7, right=3, bottom=2))
    assert changed.frame.size_px == (SIZE_PX[0] - 9, SIZE_PX[1] - 15)
    moved = seen_at(changed, WEDGE.vertices) - seen_at(shot, WEDGE.vertices)
    np.testing.assert_allclose(moved, np.broadcast_to([-12.0, -7.0], moved.shape), atol=1e-9)
    np.testing.assert_array_equal(changed.frame.rgb[0, 0], shot.frame.rgb[7, 12])
    np.testing.assert_array_equal(changed.masks[0], shot.masks[0][7:-2, 12:-3])


def test_a_border_is_cut_up_to_the_object_and_never_into_it(shot: Shot) -> None:
    free = free_border([replace(shot, labels=())], WEDGE.vertices)
    assert (free.left, free.top) == (int(CUT_SHARES[0] * SIZE_PX[1]), int(CUT_SHARES[1] * SIZE_PX[0]))
    uv = seen_at(shot, WEDGE.vertices)
    left_px = CUT_MARGIN_PX + 5.5  # leaves room for five pixels
    at_the_left = replace(
        shot.frame, K=K + np.array([[0.0, 0.0, left_px - uv[:, 0].min()], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    )
    assert free_border([shot, replace(shot, frame=at_the_left)], WEDGE.vertices).left == 5
    behind = replace(shot.labels[0], T_cam_obj=make_T(np.eye(3), [0.0, 0.0, -0.5]))
    assert not free_border([replace(shot, labels=(behind,))], WEDGE.vertices)


def test_light_is_a_factor_and_white_stays_white(shot: Shot) -> None:
    rgb = np.zeros((*SIZE_PX, 3), dtype=np.uint8)
    rgb[0, 0], rgb[0, 1] = (100, 40, 2), (255, 230, 8)
    plain = replace(shot, frame=replace(shot.frame, rgb=rgb))
    assert lit(plain, 0.75).frame.rgb[0, :2].tolist() == [[75, 30, 2], [191, 172, 6]]
    assert lit(plain, 1.25).frame.rgb[0, :2].tolist() == [[125, 50, 2], [255, 255, 10]]
    assert plain.frame.rgb[0, 0, 0] == 100


def test_a_jpeg_file_keeps_colours_in_their_order_and_loses_detail(shot: Shot) -> None:
    flat = replace(shot, frame=replace(shot.frame, rgb=np.full((*SIZE_PX, 3), (200, 90, 20), dtype=np.uint8)))
    assert np.abs(saved_as_jpeg(flat).frame.rgb.astype(int) - [200, 90, 20]).max() <= 4
    assert (saved_as_jpeg(shot).frame.rgb != shot.frame.rgb).mean() > 0.5
    assert saved_as_jpeg(shot).frame.depth_m is shot.frame.depth_m


@pytest.mark.parametrize(
    ("masked", "place"),
    [([0, 7], 7), ([0, 6, 9], 9), ([0, 6], None), ([], None)],
)
def test_a_later_start_has_a_mask(masked: list[int], place: int | None) -> None:
    assert later_start([index in masked for index in range(12)]) == place
    assert later_start([True]) is None
