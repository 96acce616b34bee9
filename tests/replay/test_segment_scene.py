"""A scene of two images, one with the mug and one without: what is found, and what is left on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.images import read_mask
from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.errors import ConfigError, ObjectBundleError
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.pipeline.segment import image_features
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.replay.segment_scene import SegmentRun, SegmentSceneOptions, segment_scene
from tests.staged import Staged

RAW = SegmentSceneOptions(verified=False, every=2, pictures=False)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(None, config=SegmentConfig(source=Source.COLOUR))


@pytest.fixture(scope="module")
def recording(staged: Staged, tmp_path_factory: pytest.TempPathFactory) -> BopScene:
    """The mug, then the bare wall."""
    path = tmp_path_factory.mktemp("recording") / "000001"
    away = make_T(np.eye(3), [0.0, 0.0, -5.0])
    with BopWriter(path) as writer:
        for index, T in enumerate((staged.T_cam_centre, away)):
            shown = staged.frame(T)
            frame = Frame(rgb=shown.rgb, depth_m=shown.depth_m, K=shown.K, index=index)
            labels = [GroundTruth(object_id=1, T_cam_obj=T)] if index == 0 else []
            masks = [staged.mask(T)] if index == 0 else []
            writer.add(frame, labels, masks=masks, masks_visib=masks)
    return BopScene(path)


@pytest.fixture(scope="module")
def verified(
    staged: Staged, segmenter: Segmenter, recording: BopScene, tmp_path_factory: pytest.TempPathFactory
) -> SegmentRun:
    return segment_scene(recording, [staged.bundle], segmenter, tmp_path_factory.mktemp("runs") / "verified")


def test_a_mask_where_it_is_and_no_file_where_it_is_not(staged: Staged, verified: SegmentRun) -> None:
    assert [path.name for path in (verified.folder / "masks").iterdir()] == ["000000_000000.png"]
    mask = read_mask(verified.folder / "masks" / "000000_000000.png")
    assert mask_iou(mask, staged.mask()) > 0.9
    first, second = json.loads((verified.folder / "summary.json").read_text())["results"]
    assert (first["found"], second["found"]) == (True, False)
    assert (second["box"], second["mask"]) == (None, None)
    x0, y0, x1, y1 = first["box"]
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert mask[y0].any()
    assert mask[:, x1 - 1].any()
    assert second["score"] < first["score"]


def test_the_summary_says_how_it_came_about(verified: SegmentRun) -> None:
    summary = verified.summary
    assert (summary["bundle"], summary["source"], summary["verified"]) == ("none", "colour", True)
    assert summary["found_count"] == {"mug": 1}
    assert summary["latency_ms"]["object"]["count"] == 2
    assert summary["versions"]["storm-edge"]
    names = sorted(path.name for path in (verified.folder / "overlays").iterdir())
    assert names == ["000000.png", "000001.png"]


def test_the_segmenter_alone_gives_its_best_mask(
    staged: Staged, segmenter: Segmenter, recording: BopScene, tmp_path: Path
) -> None:
    run = segment_scene(recording, [staged.bundle], segmenter, tmp_path / "raw", RAW)
    assert sorted(path.name for path in run.folder.iterdir()) == ["SHA256SUMS", "masks", "summary.json"]
    assert run.summary["frame_count"] == 1
    best = segmenter.segment(segmenter.encode_image(recording.frame(0)), segmenter.encode_object(staged.item)).best
    assert best is not None
    assert mask_iou(read_mask(run.folder / "masks" / "000000_000000.png"), best.mask) == 1.0


def test_an_image_is_encoded_once_for_all_objects(
    staged: Staged, segmenter: Segmenter, recording: BopScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    small_frame = image_features.small_frame
    monkeypatch.setattr(image_features, "small_frame", lambda *args: calls.append(1) or small_frame(*args))
    two = [staged.bundle, replace(staged.bundle, object_id="other")]
    run = segment_scene(recording, two, segmenter, tmp_path / "two", RAW)
    assert len(calls) == 1
    names = sorted(path.name for path in (run.folder / "masks").iterdir())
    assert names == ["000000_000000.png", "000000_000001.png"]


def test_what_cannot_be_told_apart_is_refused(
    staged: Staged, segmenter: Segmenter, recording: BopScene, tmp_path: Path
) -> None:
    other = replace(staged.bundle, source=replace(staged.bundle.source, sha256="0" * 64))
    with pytest.raises(ConfigError, match="two models named mug, expected a name for each"):
        segment_scene(recording, [staged.bundle, other], segmenter, tmp_path / "out")
    with pytest.raises(ConfigError, match="--every: got 0"):
        segment_scene(recording, [staged.bundle], segmenter, tmp_path / "out", SegmentSceneOptions(every=0))


def test_an_embedding_of_another_object_is_refused_and_nothing_is_left(
    staged: Staged, segmenter: Segmenter, recording: BopScene, tmp_path: Path
) -> None:
    embedding = replace(segmenter.encode_object(staged.item), model="0" * 64)
    for verified in (True, False):
        with pytest.raises(ObjectBundleError, match="onboard the object again"):
            segment_scene(
                recording,
                [staged.bundle],
                segmenter,
                tmp_path / "out",
                SegmentSceneOptions(embeddings=[embedding], verified=verified),
            )
    assert list(tmp_path.iterdir()) == []
