"""STORM's segmenter behind the interface of ours: on graphs whose answers are known, and on its own layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.choices import Framing
from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import CheckpointError, ConfigError, EngineError
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.export.networks.som import export_som
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.segment_inputs.contract import MASK_PX
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.som import Som, SomConfig, load_som
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.config import FullSomConfig, SegmentConfig, SharpenConfig, Source
from storm_edge.pipeline.segment.full_som_framing import square_image
from storm_edge.pipeline.segment.full_som_views import reference_views
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.full_tier import CONTEXT, SIZE_PX, Boxes, load_full, stage_boxes, write_full_bundle
from tests.networks.weights import randomised

SAM2 = SegmentConfig(sharpen=SharpenConfig(enabled=True))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    return stage_boxes(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    return load_full(write_full_bundle(tmp_path_factory.mktemp("full")))


@pytest.fixture(scope="module")
def segmenter(networks: NetworkBundle) -> Segmenter:
    return Segmenter(networks)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the networks in the order they are run."""
    found: list[str] = []
    run = OnnxRuntimeEngine.run
    monkeypatch.setattr(OnnxRuntimeEngine, "run", lambda self, feed: found.append(self.spec.name) or run(self, feed))
    return found


def test_each_box_is_marked_in_image_pixels(boxes: Boxes, segmenter: Segmenter) -> None:
    image = segmenter.encode_image(boxes.frame())
    for bundle, T in ((boxes.orange, boxes.T_orange), (boxes.blue, boxes.T_blue)):
        found = segmenter.segment(image, segmenter.encode_object(ObjectOnDevice(bundle)))
        overlaps = [mask_iou(candidate.mask, boxes.mask(bundle, T)) for candidate in found.candidates]
        assert max(overlaps) > 0.95
        assert found.probability.shape == MASK_PX
        assert found.score > 0.9
        assert all(candidate.mask.shape == SIZE_PX for candidate in found.candidates)


def test_an_image_is_encoded_once_for_all_objects(boxes: Boxes, networks: NetworkBundle, runs: list[str]) -> None:
    segmenter = Segmenter(networks, config=SAM2)
    embeddings = [segmenter.encode_object(ObjectOnDevice(bundle)) for bundle in (boxes.orange, boxes.blue)]
    frame = boxes.frame()
    for embedding in embeddings:
        segmenter.segment(segmenter.encode_image(frame), embedding)
    assert runs.count("som_reference") == 2
    assert (runs.count("som_query"), runs.count("som_head")) == (1, 2)
    assert runs.count("sam2_encoder") == 1


def test_the_detector_does_not_know_whose_segmenter_it_has(boxes: Boxes, segmenter: Segmenter) -> None:
    detector = Detector(boxes.orange_item, segmenter)
    buffers = FrameBuffers(*SIZE_PX)
    frame = boxes.frame()
    buffers.upload(frame)
    found = detector.detect(frame, buffers).found
    assert found is not None
    assert mask_iou(found.mask, boxes.mask(boxes.orange, boxes.T_orange)) > 0.97
    bare = boxes.frame(without="orange")
    buffers.upload(bare)
    assert detector.detect(bare, buffers).found is None


def test_a_box_that_is_not_in_view_is_not_there(boxes: Boxes, segmenter: Segmenter) -> None:
    found = segmenter.segment(
        segmenter.encode_image(boxes.frame(without="orange")), segmenter.encode_object(boxes.orange_item)
    )
    assert (found.score, found.best) == (0.0, None)


def test_a_box_partly_outside_is_marked_as_far_as_it_is_seen(boxes: Boxes, segmenter: Segmenter) -> None:
    T = boxes.T_orange.copy()
    T[0, 3] = -0.30  # the left half is cut off
    found = segmenter.segment(segmenter.encode_image(boxes.frame(T)), segmenter.encode_object(boxes.orange_item))
    assert found.best is not None
    truth = boxes.mask(boxes.orange, T)
    assert truth[:, 0].any()
    assert max(mask_iou(candidate.mask, truth) for candidate in found.candidates) > 0.85


def test_upstream_framing_stretches_about_the_middle(boxes: Boxes, networks: NetworkBundle) -> None:
    """The published defect: x - 160 grows by 320 / 240."""
    truth_px = np.nonzero(boxes.mask(boxes.blue, boxes.T_blue))[1].mean()
    for framing, expected_px in (
        (Framing.LETTERBOX, truth_px),
        (Framing.UPSTREAM, 160.0 + (truth_px - 160.0) * 320.0 / 240.0),
    ):
        segmenter = Segmenter(networks, config=SegmentConfig(full_som=FullSomConfig(framing=framing)))
        report = {"source": "network", "tier": "full", "framing": framing.value, "sam2": False}
        assert segmenter.report == report
        found = segmenter.segment(segmenter.encode_image(boxes.frame()), segmenter.encode_object(boxes.blue_item))
        columns = np.nonzero(found.probability > 0.5)[1]
        assert abs((columns.mean() + 0.5) * 4.0 - expected_px) < 6.0


def test_sam2_counts_where_it_agrees(boxes: Boxes, networks: NetworkBundle) -> None:
    """It marks what is orange whatever it is asked, so its answer about the blue box is refused."""
    segmenter, plain = Segmenter(networks, config=SAM2), Segmenter(networks)
    frame = boxes.frame()
    orange = segmenter.segment(segmenter.encode_image(frame), segmenter.encode_object(boxes.orange_item)).candidates
    assert any(candidate.sharpened for candidate in orange)
    sharp = next(candidate for candidate in orange if candidate.sharpened)
    x0, y0, x1, y1 = sharp.box
    assert sharp.mask[y0:y1, x0:x1].sum() == sharp.mask.sum()
    assert mask_iou(sharp.mask, boxes.mask(boxes.orange, boxes.T_orange)) > 0.9
    blue = segmenter.segment(segmenter.encode_image(frame), segmenter.encode_object(boxes.blue_item)).candidates
    without = plain.segment(plain.encode_image(frame), plain.encode_object(boxes.blue_item)).candidates
    assert not any(candidate.sharpened for candidate in blue)
    for mine, theirs in zip(blue, without, strict=True):
        np.testing.assert_array_equal(mine.mask, theirs.mask)


def test_sam2_that_is_not_there_is_missed(tmp_path: Path) -> None:
    bare = load_full(write_full_bundle(tmp_path / "full", sam2=False))
    with pytest.raises(EngineError, match=r"no SAM2, expected sam2_encoder and sam2_decoder; export SAM2 .*--sam2"):
        Segmenter(bare, config=SAM2)
    with pytest.raises(EngineError, match="SAM2: got no network bundle"):
        Segmenter(None, config=SegmentConfig(source=Source.COLOUR, sharpen=SharpenConfig(enabled=True)))


def test_sam2_sharpens_what_colours_found_too(boxes: Boxes, networks: NetworkBundle) -> None:
    config = SegmentConfig(source=Source.COLOUR, sharpen=SharpenConfig(enabled=True))
    segmenter = Segmenter(networks, config=config)
    found = segmenter.segment(segmenter.encode_image(boxes.frame()), segmenter.encode_object(boxes.orange_item))
    assert found.best is not None
    assert found.best.sharpened


def test_a_language_context_is_given_where_and_only_where_it_is_taken(
    boxes: Boxes, segmenter: Segmenter, tmp_path: Path
) -> None:
    speaking = Segmenter(load_full(write_full_bundle(tmp_path / "full", context=True)))
    assert (speaking.context_length, segmenter.context_length) == (CONTEXT, None)
    with pytest.raises(ConfigError, match="language context of obj_000001: got none"):
        speaking.encode_object(boxes.orange_item)
    with pytest.raises(ConfigError, match=r"got shape \(3,\), expected \(5,\)"):
        speaking.encode_object(boxes.orange_item, context=np.zeros(3, dtype=np.float32))
    with pytest.raises(ConfigError, match="it takes no language context"):
        segmenter.encode_object(boxes.orange_item, context=np.zeros(CONTEXT, dtype=np.float32))
    image = speaking.encode_image(boxes.frame())
    certain = speaking.segment(
        image, speaking.encode_object(boxes.orange_item, context=np.full(CONTEXT, 3.0, dtype=np.float32))
    )
    uncertain = speaking.segment(
        image, speaking.encode_object(boxes.orange_item, context=np.full(CONTEXT, -30.0, dtype=np.float32))
    )
    assert certain.score > 0.9
    assert uncertain.score == 0.0


def test_a_graph_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = write_full_bundle(tmp_path / "full")
    files = {f"som_{part}": f"som_{part}.onnx" for part in ("reference", "query", "head")}
    write_manifest(folder, name="wrong", size_px=80, preset="default", networks=files)  # as if of tier nano
    with pytest.raises(EngineError, match=r"som_query\.onnx: inputs: got .*expected .*120, 160"):
        Segmenter(NetworkBundle.load(folder))


SMALL = SomConfig(encoder=Dinov2Config(width=24, heads=1, depth=1, registers=1), heads=1, hidden=16, iou_hidden=8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SOM with random weights as STORM's trainer saves it."""
    path = tmp_path_factory.mktemp("som") / "best.pth"
    weights = randomised(Som(SMALL), seed=3).state_dict()
    torch.save({"step": 1, "model_state_dict": {f"module.{key}": value for key, value in weights.items()}}, path)
    return path


def test_a_checkpoint_in_the_official_layout_segments(checkpoint: Path, boxes: Boxes, tmp_path: Path) -> None:
    """From the file to the map of an object: what torch computes of image and views in one go."""
    net = load_som(checkpoint, SMALL)
    export_som(net, tmp_path)
    files = {f"som_{part}": f"som_{part}.onnx" for part in ("reference", "query", "head")}
    write_manifest(tmp_path, name="small", size_px=80, preset="default", networks=files, tier="full")
    segmenter = Segmenter(NetworkBundle.load(tmp_path))
    frame = boxes.frame()
    image = segmenter.encode_image(frame)
    embedding = segmenter.encode_object(boxes.orange_item)
    square, views = square_image(frame.rgb), reference_views(boxes.orange.mesh)
    with torch.no_grad():
        expected = net(torch.from_numpy(square), torch.from_numpy(views)).numpy()
    head = NetworkBundle.load(tmp_path).open("som_head")
    logits = head.run({**image.maps, **embedding.tensors})["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert np.ptp(expected) > 0.01
    assert segmenter.segment(image, embedding).probability.shape == MASK_PX


def test_checkpoints_that_do_not_fit_are_refused_by_their_entry(checkpoint: Path, tmp_path: Path) -> None:
    weights = torch.load(checkpoint)["model_state_dict"]
    name = "module.decoder.skip_proj.weight"
    for change, message in (
        ({k: v for k, v in weights.items() if k != name}, "decoder.skip_proj.weight"),
        ({**weights, name: weights[name][:1]}, "decoder.skip_proj.weight"),
        ({**weights, "module.extra": weights[name]}, "extra"),
    ):
        torch.save({"model_state_dict": change}, tmp_path / "bad.pth")
        with pytest.raises(CheckpointError, match=message) as caught:
            load_som(tmp_path / "bad.pth", SMALL)
        assert "\n" not in str(caught.value)


def test_away_from_the_camera_it_is_not_there(boxes: Boxes, segmenter: Segmenter) -> None:
    behind = make_T(np.eye(3), [0.0, 0.0, -2.0])
    found = segmenter.segment(segmenter.encode_image(boxes.frame(behind)), segmenter.encode_object(boxes.orange_item))
    assert found.best is None
