"""Candidates of the staged mug: by colours, by an untrained network, with tiles, and with learned colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError, ObjectBundleError
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.export.networks.nano import export_nano_som
from storm_edge.networks.nano_som import NanoSom
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from tests.pipeline.searching import finished, learned_log_odds
from tests.staged import TABLE_DEPTH_M, Staged


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    """Untrained: the segmenter is then its guess from colour."""
    folder = tmp_path_factory.mktemp("nano")
    torch.manual_seed(0)
    graphs = export_nano_som(NanoSom(), folder)
    files = {graph: f"{graph}.onnx" for graph in graphs}
    write_manifest(folder, name="nano", size_px=80, preset="default", networks=files)
    return NetworkBundle.load(folder)


def test_an_untrained_network_segments_as_its_guess_from_colour(staged: Staged, networks: NetworkBundle) -> None:
    """An untrained head is the guess from colour, so it must find what that finds."""
    segmenter = Segmenter(networks)
    image = segmenter.encode_image(staged.frame())
    assert set(image.maps) == {"half", "quarter", "eighth"}
    embedding = segmenter.encode_object(staged.item)
    best = segmenter.segment(image, embedding).best
    assert best is not None
    assert mask_iou(best.mask, staged.mask()) > 0.5


def test_tiling_marks_a_small_object_better(staged: Staged, networks: NetworkBundle) -> None:
    """11 px across, less than 3 at the working size. Overlap seen: none from the whole image, 0.49 with tiles (x86-64
    CPU)."""
    T = staged.T_cam_centre.copy()
    T[:3, 3] *= 12.0
    frame = staged.frame(T)
    wall = frame.depth_m == np.float32(TABLE_DEPTH_M)
    frame = replace(frame, depth_m=np.where(wall, np.float32(8.7), frame.depth_m))
    segmenter = Segmenter(networks)
    image, embedding = segmenter.encode_image(frame), segmenter.encode_object(staged.item)
    first = segmenter.segment(image, embedding)
    kinds, tiled = finished(segmenter.segment_tiled(image, embedding, first))
    assert kinds == ["encode tile"] * 9 + ["segment tile"] * 9
    assert tiled.presence_probability == first.presence_probability
    truth = staged.mask(T)
    without_tiles = max((mask_iou(candidate.mask, truth) for candidate in first.candidates), default=0.0)
    assert max(mask_iou(candidate.mask, truth) for candidate in tiled.candidates) > without_tiles + 0.1
    kinds, again = finished(segmenter.segment_tiled(image, embedding, first))
    assert kinds == ["segment tile"] * 9, "what all objects share of the parts must be at hand"
    np.testing.assert_array_equal(again.probability, tiled.probability)


def test_colours_alone_are_not_tiled(staged: Staged, colour_segmenter: Segmenter) -> None:
    image, embedding = colour_segmenter.encode_image(staged.frame()), colour_segmenter.encode_object(staged.item)
    first = colour_segmenter.segment(image, embedding)
    kinds, tiled = finished(colour_segmenter.segment_tiled(image, embedding, first))
    assert kinds == []
    assert tiled is first


def test_a_segmenter_without_network_says_so() -> None:
    with pytest.raises(EngineError, match="no network bundle"):
        Segmenter(None)


def test_candidates_of_a_known_object_go_by_its_colours(staged: Staged, colour_segmenter: Segmenter) -> None:
    """Overlap seen of the best mask: 0.74 by the model's colours alone, 0.94 with those that tracking learned."""
    frame, mask = staged.frame(), staged.mask()
    image, embedding = colour_segmenter.encode_image(frame), colour_segmenter.encode_object(staged.item)
    alone = colour_segmenter.segment(image, embedding)
    known = colour_segmenter.segment(image, embedding, learned_log_odds(staged, frame))
    assert alone.best is not None
    assert known.best is not None
    assert mask_iou(known.best.mask, mask) > 0.9
    assert mask_iou(alone.best.mask, mask) < 0.8
    assert np.array_equal(known.probability, alone.probability), "the map is the segmenter's own"


def test_a_stored_embedding_belongs_to_its_network_and_model(
    staged: Staged, colour_segmenter: Segmenter, networks: NetworkBundle
) -> None:
    embedding = colour_segmenter.encode_object(staged.item)
    again = TemplateEmbedding.from_bytes(embedding.to_bytes(), what="embedding")
    np.testing.assert_array_equal(again.colours.rgb, embedding.colours.rgb)
    colour_segmenter.check(again, staged.bundle)
    with pytest.raises(ObjectBundleError, match="network"):
        Segmenter(networks).check(again, staged.bundle)
    with pytest.raises(ObjectBundleError, match="model"):
        colour_segmenter.check(replace(again, model="another"), staged.bundle)
    with pytest.raises(ObjectBundleError, match="a template embedding of an object"):
        TemplateEmbedding.from_bytes(b"PK nothing", what="embedding")
