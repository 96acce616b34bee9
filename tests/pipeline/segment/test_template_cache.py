"""What networks keep of objects: through the bundle on disk, and every reason to refuse it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.errors import ObjectBundleError
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.bundle_files import EMBEDDINGS, stored_embeddings
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_cache import load_template_embedding, make_template_embedding
from tests.full_tier import CONTEXT, Boxes, load_full, stage_boxes, write_full_bundle


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    return stage_boxes(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter(load_full(write_full_bundle(tmp_path_factory.mktemp("full"), context=True)))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter(load_full(write_full_bundle(tmp_path_factory.mktemp("other"), name="other")))


@pytest.fixture
def folder(boxes: Boxes, segmenter: Segmenter, tmp_path: Path) -> Path:
    context = np.linspace(0.1, 0.5, CONTEXT, dtype=np.float32)
    boxes.orange.save(
        tmp_path / "box", embeddings=[make_template_embedding(segmenter, boxes.orange, name="full", context=context)]
    )
    return tmp_path / "box"


def test_an_embedding_survives_the_disk(boxes: Boxes, segmenter: Segmenter, folder: Path) -> None:
    bundle = ObjectBundle.load(folder)
    embedding = load_template_embedding(folder, segmenter, bundle)
    assert embedding is not None
    assert embedding.tensors.keys() == {"k0", "v0", "k1", "v1", "k2", "v2", "context"}
    np.testing.assert_array_equal(embedding.tensors["context"], [np.linspace(0.1, 0.5, CONTEXT, dtype=np.float32)])
    fresh = segmenter.encode_object(ObjectOnDevice(bundle), context=embedding.tensors["context"][0])
    image = segmenter.encode_image(boxes.frame())
    mine, theirs = segmenter.segment(image, embedding), segmenter.segment(image, fresh)
    np.testing.assert_allclose(mine.probability, theirs.probability, atol=1e-6)


def test_large_tensors_take_half_the_room_and_keep_three_digits(boxes: Boxes, segmenter: Segmenter) -> None:
    embedding = segmenter.encode_object(boxes.orange_item, context=np.zeros(CONTEXT, dtype=np.float32))
    rng = np.random.default_rng(0)
    large = replace(embedding, tensors={"k0": rng.standard_normal((1, 8, 4096, 32), dtype=np.float32)})
    data = large.to_bytes()
    assert len(data) < 2.2 * 2**20  # 2 MiB of halves
    again = type(embedding).from_bytes(data, what="embedding")
    np.testing.assert_allclose(again.tensors["k0"], large.tensors["k0"], rtol=1e-3, atol=1e-6)
    assert again.tensors["k0"].dtype == np.float32


def test_another_network_is_refused(boxes: Boxes, other: Segmenter, folder: Path) -> None:
    with pytest.raises(
        ObjectBundleError, match=r"got those for full \(.*expected .*onboard the object again"
    ) as caught:
        load_template_embedding(folder, other, boxes.orange)
    assert "\n" not in str(caught.value)


def test_views_that_are_missing_are_refused_where_they_take_long(
    boxes: Boxes, segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    boxes.orange.save(tmp_path / "bare")
    assert stored_embeddings(tmp_path / "bare") == {}
    with pytest.raises(ObjectBundleError, match=r"got none, expected .*onboard the object again with --bundle"):
        load_template_embedding(tmp_path / "bare", segmenter, boxes.orange)
    [file] = (folder / EMBEDDINGS).iterdir()
    file.unlink()
    with pytest.raises(ObjectBundleError, match=f"{file.name}: No such file"):
        load_template_embedding(folder, segmenter, boxes.orange)


def test_where_nothing_is_needed_nothing_is_missed(boxes: Boxes, segmenter: Segmenter, tmp_path: Path) -> None:
    boxes.orange.save(tmp_path / "bare")
    by_colour = Segmenter(None, config=SegmentConfig(source=Source.COLOUR))
    assert load_template_embedding(tmp_path / "bare", by_colour, boxes.orange) is None
    assert load_template_embedding(tmp_path / "model.ply", segmenter, boxes.orange) is None  # onboarded on the spot


def test_an_edited_embedding_and_one_of_another_model_are_refused(
    boxes: Boxes, segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    blue = make_template_embedding(segmenter, boxes.blue, name="full", context=np.zeros(CONTEXT, dtype=np.float32))
    boxes.orange.save(tmp_path / "mixed", embeddings=[blue])
    with pytest.raises(ObjectBundleError, match="template embedding of obj_000001: model"):
        load_template_embedding(tmp_path / "mixed", segmenter, boxes.orange)
    [file] = (folder / EMBEDDINGS).iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ObjectBundleError, match=r"\.npz: got sha256"):
        load_template_embedding(folder, segmenter, boxes.orange)
