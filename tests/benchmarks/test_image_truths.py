"""Which turned poses look the same in an image: known from which side of a box has a mark, and what hides it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from benchmarks.image_truths import best_share, image_truths
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import rotation_angle
from storm_edge.kernels.renderer import render
from storm_edge.objects.near_symmetry import near_symmetries
from tests.pipeline.side.sides import marked_box, picture, pose

BLUE = (0.2, 0.3, 0.7)
HAND_M = 0.3
"""Nearer to the camera than the object."""


def masks(mesh: Mesh, T: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """The box, and its mark with what is next to it."""
    seen = render(mesh, T, frame.K, frame.size_px)
    mark = (seen.colour[0][..., 0] > seen.colour[0][..., 2]) & (seen.mask[0] > 0)
    return seen.mask[0] > 0, cv2.dilate(mark.astype(np.uint8), np.ones((15, 15))) > 0


def turns_deg(mesh: Mesh, T: np.ndarray, *, hand: np.ndarray | None = None) -> list[int]:
    """By how much the poses that look the same are turned about the long axis of the box."""
    frame = picture(mesh, T)
    mask, _ = masks(mesh, T, frame)
    if hand is not None:
        rgb = np.where(hand[..., None], np.uint8(90), frame.rgb)
        frame = Frame(rgb=rgb, depth_m=np.where(hand, np.float32(HAND_M), frame.depth_m), K=frame.K, index=0)
        mask = mask & ~hand
    near = replace(near_symmetries(mesh), directions=np.array([[0.0, 0.0, 1.0]]), points_m=np.zeros((1, 3)))
    found = image_truths(mesh, near, frame, T, mask)
    np.testing.assert_array_equal(found[0], T)
    return [round(float(np.rad2deg(rotation_angle(T[:3, :3], other[:3, :3])))) for other in found]


def side_with_mark() -> np.ndarray:
    T = pose(90.0)
    assert masks(marked_box(), T, picture(marked_box(), T))[1].sum() > 200
    return T


def test_a_plain_box_looks_the_same_turned_by_half() -> None:
    assert turns_deg(marked_box(BLUE), side_with_mark()) == [0, 180]


def test_a_mark_that_is_seen_tells_its_side() -> None:
    assert turns_deg(marked_box(), side_with_mark()) == [0]


def test_a_mark_that_would_be_seen_tells_its_side_too() -> None:
    T = side_with_mark() @ pose_about_z(180.0)
    assert not masks(marked_box(), T, picture(marked_box(), T))[1].any()
    assert turns_deg(marked_box(), T) == [0]


def test_a_mark_behind_a_hand_tells_nothing() -> None:
    T = side_with_mark()
    _, mark = masks(marked_box(), T, picture(marked_box(), T))
    assert turns_deg(marked_box(), T, hand=mark) == [0, 180]


def test_a_mark_that_a_hand_would_not_hide_tells_its_side() -> None:
    T = side_with_mark()
    mask, mark = masks(marked_box(), T, picture(marked_box(), T))
    half = mark & (np.cumsum(mark, axis=0) <= mark.sum(axis=0) // 2)
    assert turns_deg(marked_box(), T, hand=half) == [0]
    beside = np.zeros_like(mask)
    beside[:, :40] = True
    assert turns_deg(marked_box(BLUE), T, hand=beside) == [0, 180]


def test_the_best_answer_is_right_for_the_largest_group() -> None:
    is_near = np.array([[True, True, False], [True, True, False], [False, False, True]])
    assert best_share(is_near) == 2.0 / 3.0


def pose_about_z(turn_deg: float) -> np.ndarray:
    return np.linalg.inv(pose()) @ pose(turn_deg)
