"""What shape alone says, where the answer is known: a mug that stands there, and an arm that looks like it.

Depth is rendered, with the noise of a usual camera; nothing here has colours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.config import DetectConfig
from storm_edge.pipeline.detect.shape_crop import PlaneMap, ShapeCrop
from storm_edge.pipeline.detect.shape_evidence import (
    ShapeEvidence,
    ShapeEvidenceExtractor,
    evidence_of,
    shape_probability,
)
from tests.staged import Staged

CONFIG = DetectConfig()
K = np.array([[580.0, 0.0, 319.5], [0.0, 580.0, 239.5], [0.0, 0.0, 1.0]])
SIZE_PX = (480, 640)


def scene(*things: tuple[Mesh, NDArray[np.float64]], wall_m: float = 1.3, table: bool = True) -> Frame:
    """Depth of things before a wall and above a table, with 1.5 mm of noise at 0.7 m."""
    v, _ = np.mgrid[: SIZE_PX[0], : SIZE_PX[1]]
    depth = np.full(SIZE_PX, wall_m)
    if table:
        slope = (v - K[1, 2]) / K[1, 1]
        depth = np.minimum(depth, np.where(slope > 0.0, 0.14 / np.maximum(slope, 1e-6), np.inf))
    for mesh, T in things:
        z = render(mesh, T, K, SIZE_PX).depth[0]
        depth = np.where((z > 0.0) & (z < depth), z, depth)
    noisy = depth + np.random.default_rng(0).normal(0.0, 0.003, SIZE_PX) * depth**2
    rgb = np.full((*SIZE_PX, 3), 128, dtype=np.uint8)
    return Frame(rgb=rgb, depth_m=noisy.astype(np.float32), K=K, index=0)


def believed(evidence: ShapeEvidenceExtractor, frame: Frame, T_cam_centre: NDArray[np.float64]) -> float:
    """The probability of a pose of which nothing else is known."""
    return shape_probability(evidence.measure(frame, T_cam_centre), 0.0, CONFIG.shape)


@pytest.fixture(scope="module")
def mug(staged: Staged) -> ObjectOnDevice:
    """The staged mug without its colours."""
    mesh = staged.bundle.mesh_lod
    grey = make_mesh(mesh.vertices, mesh.faces, normals=mesh.normals)
    return ObjectOnDevice(replace(staged.bundle, mesh=grey, mesh_lod=grey))


@pytest.fixture(scope="module")
def evidence(mug: ObjectOnDevice) -> ShapeEvidenceExtractor:
    return ShapeEvidenceExtractor(mug, CONFIG.shape)


def _box(*extents_m: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    box = trimesh.creation.box(extents=extents_m)
    return np.asarray(box.vertices), np.asarray(box.faces)


T_MUG = make_T(exp_so3([1.9, 0.0, 0.0]) @ exp_so3([0.0, 0.0, 0.6]), np.array([0.02, 0.05, 0.70]))


def test_an_object_that_stands_there_is_believed(mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor) -> None:
    frame = scene((mug.bundle.mesh_lod, T_MUG))
    measured = evidence.measure(frame, T_MUG)
    assert measured is not None
    assert measured.outline > 0.6
    assert measured.goes_on < 0.15
    assert measured.hidden < 0.01
    assert believed(evidence, frame, T_MUG) > CONFIG.min_probability
    assert evidence.measure(frame, T_MUG, PlaneMap.of(frame, mug.bundle.diameter_m)) == measured


@pytest.mark.parametrize("shift_m", [0.03, 0.05])
def test_beside_the_object_is_no_place_for_it(
    mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor, shift_m: float
) -> None:
    frame = scene((mug.bundle.mesh_lod, T_MUG))
    beside = T_MUG.copy()
    beside[0, 3] += shift_m
    assert believed(evidence, frame, beside) < CONFIG.min_probability


def test_an_arm_goes_on_beyond_the_outline(mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor) -> None:
    """It has the mug's radius and agrees with its wall: 29 frames were TRACKING on one, 267 mm off."""
    low, high = mug.bundle.mesh_lod.bounds()
    body = trimesh.creation.cylinder(radius=float(min(high[0] - low[0], high[1] - low[1])) / 2.0, height=0.6)
    arm = make_mesh(np.asarray(body.vertices), np.asarray(body.faces))
    for turn in np.linspace(0.0, np.pi, 7):
        T = T_MUG @ make_T(exp_so3([0.0, 0.0, float(turn)]), np.zeros(3))
        frame = scene((arm, T_MUG), table=False)
        measured = evidence.measure(frame, T)
        assert measured is not None
        assert measured.goes_on > 0.1
        assert measured.beyond > 0.3
        assert believed(evidence, frame, T) < CONFIG.min_probability


@pytest.mark.parametrize("table", [False, True])
def test_a_plane_is_no_object(evidence: ShapeEvidenceExtractor, table: bool) -> None:
    frame = scene(table=table, wall_m=0.72)
    assert believed(evidence, frame, T_MUG) < 0.05


def test_what_is_cut_off_or_not_read_is_no_evidence(mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor) -> None:
    """A knob at the image's edge is round, too."""
    whole = believed(evidence, scene((mug.bundle.mesh_lod, T_MUG)), T_MUG)
    at_edge = T_MUG.copy()
    at_edge[0, 3] = -0.41
    assert believed(evidence, scene((mug.bundle.mesh_lod, at_edge)), at_edge) < CONFIG.min_probability < whole
    frame = scene((mug.bundle.mesh_lod, T_MUG))
    assert evidence.measure(replace(frame, depth_m=np.zeros(SIZE_PX, dtype=np.float32)), T_MUG) is None
    assert believed(evidence, replace(frame, depth_m=np.zeros(SIZE_PX, dtype=np.float32)), T_MUG) == 0.0
    around = T_MUG.copy()
    around[2, 3] = 0.01
    assert believed(evidence, frame, around) < 0.01  # the camera within the mug sees through it
    behind = T_MUG.copy()
    behind[2, 3] = -0.3
    assert evidence.measure(frame, behind) is None


def test_an_outline_behind_something_is_no_outline_that_lacks_an_edge(
    mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor
) -> None:
    """Half of it behind a board that stands before it: what is left ends as the whole does."""
    board = make_mesh(*_box(0.3, 0.3, 0.01))
    T_board = make_T(np.eye(3), np.array([0.02 + 0.15, 0.05, 0.55]))
    whole = evidence.measure(scene((mug.bundle.mesh_lod, T_MUG)), T_MUG)
    half = evidence.measure(scene((mug.bundle.mesh_lod, T_MUG), (board, T_board)), T_MUG)
    assert whole is not None
    assert half is not None
    assert whole.blocked < 0.05
    assert 0.3 < half.blocked < 0.7
    assert half.outline < 0.7 * whole.outline
    assert half.open_outline == pytest.approx(whole.open_outline, abs=0.15)
    assert half.open_sectors == pytest.approx(whole.open_sectors, abs=0.15)


def test_of_an_outline_that_is_all_blocked_the_usual_is_said(
    mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor
) -> None:
    frame = scene((mug.bundle.mesh_lod, T_MUG))
    v, u = np.mgrid[: SIZE_PX[0], : SIZE_PX[1]]
    seen = render(mug.bundle.mesh_lod, T_MUG, K, SIZE_PX).depth[0] > 0.0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    middle = (rows.mean() - v) ** 2 + (columns.mean() - u) ** 2 < (0.2 * np.ptp(columns)) ** 2
    through_a_hole = np.where(middle, frame.depth_m, np.float32(0.5))
    measured = evidence.measure(replace(frame, depth_m=through_a_hole), T_MUG)
    assert measured is not None
    assert measured.blocked > 0.95
    assert measured.open_outline == pytest.approx(CONFIG.shape.usual.outline, abs=0.1)
    assert measured.open_goes_on == pytest.approx(CONFIG.shape.usual.goes_on, abs=0.05)


def test_an_object_that_fills_the_image_is_judged_by_what_is_seen(
    mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor
) -> None:
    """The camera is within its sphere, as in front of a large box: there was no evidence then."""
    near = T_MUG.copy()
    near[:3, 3] = [0.0, 0.0, 0.45 * mug.diameter_m + 0.01]
    measured = evidence.measure(scene((mug.bundle.mesh_lod, near)), near)
    assert measured is not None
    assert measured.through < 0.05


def test_a_model_that_fills_the_window_has_no_outline() -> None:
    """And no warning tells of it."""
    window = np.full((40, 40), 0.3)
    everywhere = np.ones((40, 40), dtype=bool)
    crop = ShapeCrop(model_m=window, measured_m=window, in_image=everywhere, on_plane=~everywhere)
    found = evidence_of(crop, 0.5, CONFIG.shape)
    assert found is not None
    assert (found.outline, found.sectors, found.goes_on, found.blocked) == (0.0, 0.0, 0.0, 0.0)
    assert (found.through, found.hidden) == (0.0, 0.0)


def test_no_reading_beside_the_object_counts_half(mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor) -> None:
    """A floor that is too far to be measured is no surface that goes on."""
    frame = scene((mug.bundle.mesh_lod, T_MUG), table=False)
    far = replace(frame, depth_m=np.where(frame.depth_m > 1.0, np.float32(0.0), frame.depth_m))
    known, unknown = evidence.measure(frame, T_MUG), evidence.measure(far, T_MUG)
    assert known is not None
    assert unknown is not None
    assert unknown.outline == pytest.approx(0.5 * known.outline, abs=0.02)
    assert unknown.sectors == pytest.approx(known.sectors, abs=0.1)


def test_a_hand_in_front_is_neutral_only_where_it_is(mug: ObjectOnDevice, evidence: ShapeEvidenceExtractor) -> None:
    hand = trimesh.creation.box((0.05, 0.4, 0.02))
    T_hand = make_T(np.eye(3), np.array([0.03, 0.05, 0.55]))
    measured = evidence.measure(
        scene((mug.bundle.mesh_lod, T_MUG), (make_mesh(np.asarray(hand.vertices), np.asarray(hand.faces)), T_hand)),
        T_MUG,
    )
    assert measured is not None
    assert 0.2 < measured.hidden < 0.8
    assert measured.goes_on < 0.2


def test_the_probability_is_the_logistic_of_the_weighted_evidence() -> None:
    names = ShapeEvidence.__dataclass_fields__
    values = ShapeEvidence(**{name: 0.05 * k for k, name in enumerate(names)})
    weights = CONFIG.shape.weights
    logit = weights.constant + sum(0.05 * k * getattr(weights, name) for k, name in enumerate(names))
    expected = 1.0 / (1.0 + np.exp(-(logit + 0.7)))
    assert shape_probability(values, 0.7, CONFIG.shape) == pytest.approx(expected)
    assert shape_probability(None, 5.0, CONFIG.shape) == 0.0
