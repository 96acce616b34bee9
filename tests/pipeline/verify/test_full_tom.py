"""Crops by geometry, votes by colours that are known, and the two networks behind one interface."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError
from storm_edge.export.tom import export_tom
from storm_edge.geometry.se3 import make_T
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.tom import Tom
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.verify.full_tom import SIZE_PX, FullVerifier, open_verifier, pose_crop
from storm_edge.pipeline.verify.verifier import MEMORY
from tests.full_tier import Boxes, K, load_full, stage_boxes, write_full_bundle
from tests.networks.weights import randomised

CORNERS = np.array(list(itertools.product((-0.1, 0.1), (-0.05, 0.05), (-0.01, 0.01))))
MEAN = np.array((0.485, 0.456, 0.406))[:, None, None]
DEVIATION = np.array((0.229, 0.224, 0.225))[:, None, None]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    return stage_boxes(tmp_path_factory.mktemp("boxes"))


def uploaded(boxes: Boxes) -> FrameBuffers:
    frame = boxes.frame()
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    return buffers


def test_the_crop_is_a_tight_square() -> None:
    """At 0.6 m the front of a 0.2 x 0.1 m box is 300 * 0.2 / 0.59 = 101.7 px wide, its centre at (159.5, 119.5)."""
    rgb = np.zeros((240, 320, 3), dtype=np.uint8)
    side = 300.0 * 0.2 / 0.59
    rgb[:, round(160.0 - side / 2) : round(160.0 + side / 2)] = 255
    crop = pose_crop(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.6]), CORNERS)
    assert crop is not None
    assert crop.shape == (3, SIZE_PX, SIZE_PX)
    picture = crop * DEVIATION + MEAN
    # The band is as wide as the crop: all of it is white but for half a pixel on either side.
    assert picture[:, :, 3:-3].min() > 0.99
    rgb[:, :160] = 0
    halves = pose_crop(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.6]), CORNERS)
    assert halves is not None
    assert np.flatnonzero(halves[0, 112] > 0.5)[0] == pytest.approx(112, abs=1)


def test_a_crop_at_the_border_moves_into_the_image_and_one_beyond_is_none() -> None:
    rgb = np.zeros((240, 320, 3), dtype=np.uint8)
    rgb[:, :20] = 255
    crop = pose_crop(rgb, K, make_T(np.eye(3), [-0.3, 0.0, 0.6]), CORNERS)
    assert crop is not None
    white = (crop[0] * DEVIATION[0] + MEAN[0])[112] > 0.5
    assert white[:3].all()
    assert white.sum() == pytest.approx(224 * 20 / (300 * 0.2 / 0.59), abs=2)
    assert pose_crop(rgb, K, make_T(np.eye(3), [-2.0, 0.0, 0.6]), CORNERS) is None
    assert pose_crop(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.0]), CORNERS) is None
    near = pose_crop(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.05]), CORNERS)  # larger than the image
    assert near is not None


@pytest.mark.parametrize("tom", ["pair", "similarity"])
def test_the_right_box_speaks_for_the_track_and_the_wrong_one_against(boxes: Boxes, tmp_path: Path, tom: str) -> None:
    verifier = open_verifier(boxes.orange_item, load_full(write_full_bundle(tmp_path / "full", tom=tom)))
    assert isinstance(verifier, FullVerifier)
    buffers = uploaded(boxes)
    blind = verifier.verify(buffers, boxes.T_orange)
    assert blind.appearance is None
    assert blind.score > 0.9
    for _ in range(MEMORY + 2):
        verifier.remember(buffers, boxes.T_orange)
    assert len(verifier) == MEMORY
    right = verifier.verify(buffers, boxes.T_orange)
    wrong = verifier.verify(buffers, boxes.T_blue)
    assert right.appearance is not None
    assert wrong.appearance is not None
    # The very crop that is remembered: 4 - ln 9 by the pair network, 10 * (1 - 0.2) by likeness.
    assert right.appearance == pytest.approx(4.0 - np.log(9.0) if tom == "pair" else 8.0, abs=1e-3)
    assert wrong.appearance < 0.0
    assert wrong.score < 0.3 < right.score
    verifier.forget()
    assert len(verifier) == 0


def test_a_pose_that_shows_nothing_is_not_remembered(boxes: Boxes, tmp_path: Path) -> None:
    verifier = FullVerifier(boxes.orange_item, load_full(write_full_bundle(tmp_path / "full")))
    buffers = uploaded(boxes)
    verifier.remember(buffers, make_T(np.eye(3), [3.0, 0.0, 0.6]))
    assert len(verifier) == 0
    verifier.remember(buffers, boxes.T_orange)
    assert verifier.verify(buffers, make_T(np.eye(3), [3.0, 0.0, 0.6])).appearance is None


def test_a_bundle_without_a_verifier(boxes: Boxes, tmp_path: Path) -> None:
    bare = load_full(write_full_bundle(tmp_path / "full", tom="none"))
    assert open_verifier(boxes.orange_item, bare) is None
    with pytest.raises(EngineError, match="no verifier, expected tom_encode and tom_compare, or similarity"):
        FullVerifier(boxes.orange_item, bare)


def test_a_random_tom_in_the_official_layout_votes_as_torch_does(boxes: Boxes, tmp_path: Path) -> None:
    """One layer, as published; two are compared in `tests.export.test_tom`."""
    net = randomised(Tom(1, Dinov2Config(width=16, heads=2, depth=1)), seed=1)
    assert isinstance(net, Tom)
    export_tom(net, tmp_path)
    files = {"tom_encode": "tom_encode.onnx", "tom_compare": "tom_compare.onnx"}
    write_manifest(tmp_path, name="small", size_px=80, preset="default", networks=files, tier="full")
    verifier = FullVerifier(boxes.orange_item, NetworkBundle.load(tmp_path))
    buffers = uploaded(boxes)
    verifier.remember(buffers, boxes.T_orange)
    vote = verifier.verify(buffers, boxes.T_blue).appearance
    low, high = boxes.orange.mesh.bounds()
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))), dtype=np.float64)
    then, now = (pose_crop(boxes.frame().rgb, K, T, corners) for T in (boxes.T_orange, boxes.T_blue))
    assert then is not None
    assert now is not None
    with torch.no_grad():
        expected = float(net(torch.from_numpy(now[None]), torch.from_numpy(then[None]))[0]) - np.log(9.0)
    assert vote == pytest.approx(expected, abs=1e-4)
