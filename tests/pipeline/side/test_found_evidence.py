"""Each term of the finer evidence is of what it says, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.contour_region import BIN_COUNT
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.side.config import FoundEvidenceConfig
from storm_edge.pipeline.side.found_evidence import FoundEvidence, FoundTerms
from tests.pipeline.side.sides import bundle_of, marked_box, picture, pose
from tests.pipeline.side.test_settling import banded_mug, mask_of

BOX = marked_box()
RIGHT = pose(70.0)


UNKNOWN = np.zeros(BIN_COUNT, dtype=np.float32)


def terms(
    frame: Frame,
    poses: list[np.ndarray],
    mask: np.ndarray | None = None,
    log_odds: np.ndarray = UNKNOWN,
    common_log_odds: np.ndarray = UNKNOWN,
) -> FoundTerms:
    item = ObjectOnDevice(bundle_of(BOX))
    evidence = FoundEvidence(item.mesh, item.bundle.diameter_m, FoundEvidenceConfig())
    return evidence.terms(frame, np.stack(poses), mask, log_odds, common_log_odds)


def test_a_right_pose_costs_next_to_nothing() -> None:
    found = terms(picture(BOX, RIGHT), [RIGHT], mask_of(BOX, RIGHT))
    expected = [0.0, found.detail[0], 0.0, 0.0, 0.0, 0.0, found.outside[0]]
    assert found.array()[0] == pytest.approx(expected, abs=0.06)


def test_colours_of_another_side() -> None:
    found = terms(picture(BOX, RIGHT), [RIGHT, pose(250.0)])
    assert found.texture[1] > found.texture[0] + 0.02
    assert found.detail[0] < -0.3
    assert found.detail[1] > 0.0
    assert found.uncovered == pytest.approx(0.0)
    assert found.spill == pytest.approx(0.0)


def test_what_mask_and_model_do_not_share() -> None:
    mask = mask_of(BOX, RIGHT)
    half = mask.copy()
    half[:, : np.flatnonzero(mask.any(axis=0)).mean().astype(int)] = False
    found = terms(picture(BOX, RIGHT), [RIGHT], half)
    assert found.spill[0] == pytest.approx(0.5, abs=0.06)
    assert found.uncovered[0] == pytest.approx(0.0, abs=0.03)
    grown = np.roll(mask, 20, axis=1) | mask
    found = terms(picture(BOX, RIGHT), [RIGHT], grown)
    assert found.uncovered[0] == pytest.approx((grown.sum() - mask.sum()) / mask.sum(), abs=0.06)
    assert found.spill[0] == pytest.approx(0.0, abs=0.03)


def test_a_thin_part_whose_depth_the_camera_missed() -> None:
    """The wall's depth is read where the box is: less is held against the pose where its colours are seen."""
    frame, mask = picture(BOX, RIGHT), mask_of(BOX, RIGHT)
    depth_m = np.where(mask, np.float32(0.85), frame.depth_m)
    missed = Frame(rgb=frame.rgb, depth_m=depth_m, K=frame.K, index=0, stamp_ns=0)
    known = np.full(BIN_COUNT, 20.0, dtype=np.float32)
    assert terms(missed, [RIGHT], log_odds=-known).depth[0] == pytest.approx(1.0, abs=0.02)
    assert terms(missed, [RIGHT], log_odds=known).depth[0] == pytest.approx(0.33, abs=0.02)


def test_what_hides_is_neither_wrong_depth_nor_beyond_the_mask() -> None:
    frame, mask = picture(BOX, RIGHT), mask_of(BOX, RIGHT)
    middle = int(np.flatnonzero(mask.any(axis=0)).mean())
    depth_m = frame.depth_m.copy()
    depth_m[:, :middle] = 0.3
    mask[:, :middle] = False
    hidden = Frame(rgb=frame.rgb, depth_m=depth_m, K=frame.K, index=0, stamp_ns=0)
    found = terms(hidden, [RIGHT], mask)
    assert found.hidden[0] == pytest.approx(0.5, abs=0.06)
    assert found.depth[0] < 0.02
    assert found.spill[0] < 0.03


def test_a_pose_beside_its_surface_has_its_depth_against_it() -> None:
    apart = RIGHT.copy()
    apart[2, 3] -= 0.006
    found = terms(picture(BOX, RIGHT), [RIGHT, apart])
    assert found.depth[1] > found.depth[0] + 0.2


def test_more_poses_than_are_rendered_at_a_time() -> None:
    poses = [pose(70.0 + 9.0 * k) for k in range(40)]
    frame = picture(BOX, RIGHT)
    every = terms(frame, poses).array()
    few = terms(frame, [poses[0], poses[33]]).array()
    np.testing.assert_allclose(every[[0, 33]], few, atol=1e-6)


def test_a_handle_that_the_model_does_not_cover() -> None:
    """Seen beside the mug, and hidden behind it at the other pose: the area of it that only the image has."""
    model = banded_mug()
    beside, behind = pose(0.0), pose(90.0)
    handle = mask_of(model, beside) & ~mask_of(model, behind)
    assert handle.sum() > 100
    known = np.full(BIN_COUNT, 20.0, dtype=np.float32)
    item = ObjectOnDevice(bundle_of(model))
    evidence = FoundEvidence(item.mesh, item.bundle.diameter_m, FoundEvidenceConfig())
    frame = picture(model, beside)
    found = evidence.terms(frame, np.stack([beside, behind]), None, UNKNOWN, known)
    assert found.outside[0] == pytest.approx(0.0, abs=0.01)
    assert found.outside[1] == pytest.approx(handle.sum() / mask_of(model, beside).sum(), abs=0.02)
    foreign = evidence.terms(frame, np.stack([beside, behind]), None, UNKNOWN, -known)
    assert foreign.outside == pytest.approx(0.0, abs=1e-3)


def leads(mesh: Mesh, seen: np.ndarray, poses: list[np.ndarray]) -> np.ndarray:
    item = ObjectOnDevice(bundle_of(mesh))
    evidence = FoundEvidence(item.mesh, item.bundle.diameter_m, FoundEvidenceConfig())
    return evidence.leads(picture(mesh, seen), np.stack(poses))


def test_the_image_has_the_mark_of_one_pose_and_not_of_the_other() -> None:
    turned = pose(250.0)
    found = leads(BOX, RIGHT, [turned, RIGHT, turned])
    assert found[1] > 0.7
    assert found[[0, 2]] == pytest.approx(0.0)
    assert leads(BOX, RIGHT, [RIGHT, turned])[1] < -0.7


def test_poses_that_look_the_same_are_not_told_apart() -> None:
    plain = marked_box((0.2, 0.3, 0.7))
    assert abs(leads(plain, RIGHT, [RIGHT, pose(250.0)])[1]) < 0.02
