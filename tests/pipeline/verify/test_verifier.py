"""Scores by colours that are known, what is remembered, and how both scores become one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.verify.config import VerifyConfig
from storm_edge.pipeline.verify.crop_encoders import EncodedCrop
from storm_edge.pipeline.verify.verifier import Verifier, fuse_scores, open_verifier
from tests.full_tier import Boxes, load_full, stage_boxes, write_full_bundle
from tests.staged import Staged

MEMORY_COUNT = VerifyConfig().memory_count


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    return stage_boxes(tmp_path_factory.mktemp("boxes"))


def uploaded(boxes: Boxes) -> FrameBuffers:
    frame = boxes.frame()
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    return buffers


@pytest.mark.parametrize("tom", ["pair", "similarity"])
def test_the_right_box_is_confirmed_and_the_wrong_one_is_not(boxes: Boxes, tmp_path: Path, tom: str) -> None:
    # The wrong pose is turned by more than the crops that are compared by default.
    networks = load_full(write_full_bundle(tmp_path / "full", tom=tom))
    verifier = open_verifier(boxes.orange_item, networks, config=VerifyConfig(near_deg=180.0))
    assert verifier is not None
    buffers = uploaded(boxes)
    blind = verifier.verify(buffers, boxes.T_orange)
    assert verifier.verify(buffers, boxes.T_orange, 0.25).geometry == 0.25  # as its tracker judged it
    assert blind.appearance is None
    assert blind.score > 0.9
    for _ in range(MEMORY_COUNT + 2):
        verifier.remember(buffers, boxes.T_orange)
    assert len(verifier) == MEMORY_COUNT
    right = verifier.verify(buffers, boxes.T_orange)
    wrong = verifier.verify(buffers, boxes.T_blue)
    assert right.appearance is not None
    assert wrong.appearance is not None
    # The very crop that is remembered: 4 - ln 9 by the pair network, 10 * (1 - 0.2) by similarity.
    assert right.appearance == pytest.approx(4.0 - np.log(9.0) if tom == "pair" else 8.0, abs=1e-3)
    assert wrong.appearance < 0.0
    assert wrong.score < 0.3 < right.score
    verifier.forget()
    assert len(verifier) == 0


def test_a_pose_that_shows_nothing_is_not_remembered(boxes: Boxes, tmp_path: Path) -> None:
    verifier = open_verifier(boxes.orange_item, load_full(write_full_bundle(tmp_path / "full")))
    assert verifier is not None
    buffers = uploaded(boxes)
    verifier.remember(buffers, make_T(np.eye(3), [3.0, 0.0, 0.6]))
    assert len(verifier) == 0
    verifier.remember(buffers, boxes.T_orange)
    assert verifier.verify(buffers, make_T(np.eye(3), [3.0, 0.0, 0.6])).appearance is None


def test_memory_keeps_the_newest_and_forgets_when_told(staged: Staged) -> None:
    verifier = open_verifier(staged.item, NetworkBundle.load("nano"))
    assert verifier is not None
    buffers = staged.buffers()
    blind = verifier.verify(buffers, staged.T_cam_centre)
    assert blind.appearance is None
    assert blind.score > 0.9
    for _ in range(MEMORY_COUNT + 3):
        verifier.remember(buffers, staged.T_cam_centre)
    assert len(verifier) == MEMORY_COUNT
    assert verifier.verify(buffers, staged.T_cam_centre).appearance is not None
    away = staged.T_cam_centre.copy()
    away[0, 3] += 0.15
    assert verifier.verify(buffers, away).geometry < 0.3
    verifier.forget()
    assert len(verifier) == 0


class NumberedCrops:
    """An encoder whose crops are numbered in the order they are cut; two are alike by their distance."""

    def __init__(self) -> None:
        self.next = 0.0

    def encode(self, frame: FrameBuffers, T_cam_centre: np.ndarray) -> EncodedCrop:
        vector = np.full(2, self.next, dtype=np.float32)
        self.next += 1.0
        return EncodedCrop(current=vector, memory=vector)

    def compare(self, current: np.ndarray, memory: np.ndarray) -> np.ndarray:
        return -np.abs(memory - current)[:, 0]


def test_the_oldest_crop_goes_first_and_the_closest_ones_count(staged: Staged) -> None:
    """Crops 0 to 5, of which 2 to 5 are kept; the sixth is 1, 2 and 3 away from the closest three."""
    config = VerifyConfig(memory_count=4, closest=3)
    verifier = Verifier(staged.item, NumberedCrops(), config=config)
    buffers = staged.buffers()
    for _ in range(6):
        verifier.remember(buffers, staged.T_cam_centre)
    assert len(verifier) == 4
    assert verifier.verify(buffers, staged.T_cam_centre).appearance == pytest.approx(-2.0)


def test_what_is_no_number_is_neither_remembered_nor_scored(staged: Staged) -> None:
    encoder = NumberedCrops()
    verifier = Verifier(staged.item, encoder)
    buffers = staged.buffers()
    alone = verifier.verify(buffers, staged.T_cam_centre)
    verifier.remember(buffers, staged.T_cam_centre)
    encoder.next = math.nan
    verifier.remember(buffers, staged.T_cam_centre)
    assert len(verifier) == 1
    scored = verifier.verify(buffers, staged.T_cam_centre)
    assert scored.appearance is None
    assert scored.is_non_finite
    assert scored.score == alone.score
    assert verifier.non_finite_count == 2


def test_scores_are_fused_as_logits() -> None:
    """8 (0.7 - 0.45) = 2 by geometry; half of the appearance's logit, which is limited to 4, beside it."""
    config = VerifyConfig()
    for appearance, logit in ((None, 2.0), (1.0, 2.5), (-9.0, 0.0), (9.0, 4.0)):
        fused = fuse_scores(0.7, appearance, config)
        assert math.log(fused.score / (1.0 - fused.score)) == pytest.approx(logit)
        assert fused.appearance == appearance


def test_only_crops_of_the_side_that_a_pose_claims_to_show_count(staged: Staged) -> None:
    """Crop 0 is remembered as it is, crop 1 turned by 120 degrees; questions see the one or the other, or none."""
    verifier = Verifier(staged.item, NumberedCrops(), config=VerifyConfig(near_deg=40.0))
    buffers = staged.buffers()

    def turned(degrees: float) -> np.ndarray:
        T = staged.T_cam_centre.copy()
        T[:3, :3] = exp_so3(np.array([math.radians(degrees), 0.0, 0.0])) @ T[:3, :3]
        return T

    assert len(staged.item.bundle.symmetries) == 1
    verifier.remember(buffers, turned(0.0))
    verifier.remember(buffers, turned(120.0))
    assert verifier.verify(buffers, turned(10.0)).appearance == pytest.approx(-2.0)
    assert verifier.verify(buffers, turned(130.0)).appearance == pytest.approx(-2.0)
    alone = verifier.verify(buffers, turned(60.0))
    assert alone.appearance is None
    assert not alone.is_non_finite


@pytest.mark.parametrize(("probability", "is_same"), [(0.9, True), (0.8999, False), (0.9001, True), (0.5, False)])
def test_toms_own_decision_is_its_probability_against_nine_tenths(probability: float, is_same: bool) -> None:
    """STORM's rule, whatever geometry says; half in this score is nine tenths in TOM's."""
    config = VerifyConfig(decided_by="network")
    logit = math.log(probability / (1.0 - probability))
    for geometry in (0.0, 1.0):
        found = fuse_scores(geometry, logit - config.full_pair_zero, config)
        assert (found.score >= 0.5 - 1e-12) is is_same
    assert found.score == pytest.approx(probability / (probability + 9.0 * (1.0 - probability)))


def test_without_a_crop_geometry_speaks_even_there() -> None:
    config = VerifyConfig(decided_by="network")
    assert fuse_scores(0.9, None, config) == fuse_scores(0.9, None, VerifyConfig())
