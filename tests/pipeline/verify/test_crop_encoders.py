"""Crops by geometry, and one contract for the encoders of both tiers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError
from storm_edge.export.networks.tom import export_tom
from storm_edge.geometry.se3 import make_T
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.tom import Tom
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.verify.config import VerifyConfig
from storm_edge.pipeline.verify.crop_encoders import (
    FULL_CROP_PX,
    CropEncoder,
    FullCropEncoder,
    NanoCropEncoder,
    box_crop,
    open_encoder,
)
from storm_edge.pipeline.verify.verifier import open_verifier
from tests.full_tier import Boxes, K, load_full, stage_boxes, write_full_bundle
from tests.networks.weights import randomised

CORNERS = np.array(list(itertools.product((-0.1, 0.1), (-0.05, 0.05), (-0.01, 0.01))))
MEAN = np.array((0.485, 0.456, 0.406))[:, None, None]
DEVIATION = np.array((0.229, 0.224, 0.225))[:, None, None]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    return stage_boxes(tmp_path_factory.mktemp("boxes"))


def cropped(rgb: np.ndarray, K: np.ndarray, T: np.ndarray, corners: np.ndarray) -> np.ndarray | None:
    return box_crop(rgb, K, T, corners, near_m=VerifyConfig().full_near_m)


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
    crop = cropped(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.6]), CORNERS)
    assert crop is not None
    assert crop.shape == (3, FULL_CROP_PX, FULL_CROP_PX)
    image = crop * DEVIATION + MEAN
    # The band is as wide as the crop: all of it is white but for half a pixel on either side.
    assert image[:, :, 3:-3].min() > 0.99
    rgb[:, :160] = 0
    halves = cropped(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.6]), CORNERS)
    assert halves is not None
    assert np.flatnonzero(halves[0, 112] > 0.5)[0] == pytest.approx(112, abs=1)


def test_a_crop_at_the_border_moves_into_the_image_and_one_beyond_is_none() -> None:
    rgb = np.zeros((240, 320, 3), dtype=np.uint8)
    rgb[:, :20] = 255
    crop = cropped(rgb, K, make_T(np.eye(3), [-0.3, 0.0, 0.6]), CORNERS)
    assert crop is not None
    white = (crop[0] * DEVIATION[0] + MEAN[0])[112] > 0.5
    assert white[:3].all()
    assert white.sum() == pytest.approx(224 * 20 / (300 * 0.2 / 0.59), abs=2)
    assert cropped(rgb, K, make_T(np.eye(3), [-2.0, 0.0, 0.6]), CORNERS) is None
    assert cropped(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.0]), CORNERS) is None
    near = cropped(rgb, K, make_T(np.eye(3), [0.0, 0.0, 0.05]), CORNERS)  # larger than the image
    assert near is not None


ENCODERS = {"nano": NanoCropEncoder, "full pair": FullCropEncoder, "full similarity": FullCropEncoder}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest, boxes: Boxes, tmp_path: Path) -> CropEncoder:
    """Of the orange box: the nano networks as they ship, and those of the full tier that are made by hand."""
    tier, _, tom = request.param.partition(" ")
    networks = NetworkBundle.load("nano") if tier == "nano" else load_full(write_full_bundle(tmp_path, tom=tom))
    opened = open_encoder(boxes.orange_item, networks, config=VerifyConfig())
    assert isinstance(opened, ENCODERS[request.param])
    return opened


def test_a_crop_becomes_two_vectors_that_stay_as_they_are(encoder: CropEncoder, boxes: Boxes) -> None:
    buffers = uploaded(boxes)
    first = encoder.encode(buffers, boxes.T_orange)
    assert first is not None
    kept = first.current.copy(), first.memory.copy()
    assert first.current.ndim == first.memory.ndim == 1
    assert first.current.dtype == first.memory.dtype == np.float32
    encoder.encode(buffers, boxes.T_blue)
    again = encoder.encode(buffers, boxes.T_orange)
    assert again is not None
    for vector, other, before in zip((first.current, first.memory), (again.current, again.memory), kept, strict=True):
        np.testing.assert_array_equal(vector, before)
        np.testing.assert_array_equal(vector, other)


def test_each_remembered_crop_has_a_logit_of_its_own(encoder: CropEncoder, boxes: Boxes) -> None:
    """A crop is more like itself than like a box of another colour, whatever else is remembered."""
    buffers = uploaded(boxes)
    orange, blue = (encoder.encode(buffers, T) for T in (boxes.T_orange, boxes.T_blue))
    assert orange is not None
    assert blue is not None
    logits = encoder.compare(orange.current, np.stack([orange.memory, blue.memory, orange.memory]))
    assert logits.shape == (3,)
    assert logits.dtype == np.float32
    assert logits[0] > 0.0
    assert logits[0] > logits[1]
    np.testing.assert_allclose(logits[0], logits[2], atol=1e-4)
    np.testing.assert_allclose(encoder.compare(orange.current, blue.memory[None]), logits[1:2], atol=1e-4)


def test_a_bundle_without_an_encoder(boxes: Boxes, tmp_path: Path) -> None:
    bare = load_full(write_full_bundle(tmp_path / "full", tom="none"))
    assert open_encoder(boxes.orange_item, bare, config=VerifyConfig()) is None
    assert open_verifier(boxes.orange_item, bare) is None
    with pytest.raises(EngineError, match="no verifier, expected tom_encode and tom_compare, or similarity"):
        FullCropEncoder(boxes.orange_item, bare, config=VerifyConfig())


def test_a_random_tom_in_the_official_layout_answers_as_torch_does(boxes: Boxes, tmp_path: Path) -> None:
    """One layer, as published; two are compared in `tests.export.networks.test_tom`."""
    net = randomised(Tom(1, Dinov2Config(width=16, heads=2, depth=1)), seed=1)
    assert isinstance(net, Tom)
    export_tom(net, tmp_path)
    files = {"tom_encode": "tom_encode.onnx", "tom_compare": "tom_compare.onnx"}
    write_manifest(tmp_path, name="small", size_px=80, preset="default", networks=files, tier="full")
    # Both poses are turned by more than the crops that are compared by default.
    verifier = open_verifier(boxes.orange_item, NetworkBundle.load(tmp_path), config=VerifyConfig(near_deg=180.0))
    assert verifier is not None
    buffers = uploaded(boxes)
    verifier.remember(buffers, boxes.T_orange)
    score = verifier.verify(buffers, boxes.T_blue).appearance
    low, high = boxes.orange.mesh.bounds()
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))), dtype=np.float64)
    then, now = (cropped(boxes.frame().rgb, K, T, corners) for T in (boxes.T_orange, boxes.T_blue))
    assert then is not None
    assert now is not None
    with torch.no_grad():
        expected = float(net(torch.from_numpy(now[None]), torch.from_numpy(then[None]))[0]) - np.log(9.0)
    assert score == pytest.approx(expected, abs=1e-4)
