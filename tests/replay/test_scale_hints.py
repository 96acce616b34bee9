"""Objects that a run never found, at a wrong scale: what is said, and that nothing is said of right ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.register.config import ScaleConfig
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.replay.scale_hints import MissedObject, scale_hints
from storm_edge.replay.segment_scene import SegmentSceneOptions, segment_scene
from tests.staged import Staged

CONFIG = ScaleConfig()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(None, config=SegmentConfig(source=Source.COLOUR))


@pytest.fixture(scope="module")
def detector(staged: Staged, segmenter: Segmenter) -> Detector:
    return Detector(ObjectOnDevice(staged.bundle), segmenter)


def scaled(frame: Frame, factor: float) -> Frame:
    return replace(frame, depth_m=frame.depth_m * np.float32(factor))


@pytest.mark.parametrize(
    ("factor", "words"), [(2.0, "a model 2 times as large is found in image 0; multiply the model by 2 ")]
)
def test_the_scale_at_which_it_is_found_is_named(
    staged: Staged, detector: Detector, factor: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    missed = MissedObject(bundle=staged.bundle, detector=detector)
    remarks = scale_hints([missed], scaled(staged.frame(), factor), CONFIG, device="cpu")
    assert len(remarks) == 1
    assert remarks[0].startswith(f"{staged.bundle.object_id} was never found: {words}")
    assert "multiply the depth by 0.5 (depth_scale in scene_camera.json)" in remarks[0]
    assert [record.getMessage() for record in caplog.records] == remarks


def test_nothing_is_said_where_the_object_is_not_there(staged: Staged, detector: Detector) -> None:
    bare = staged.frame(make_T(np.eye(3), [0.0, 0.0, -5.0]))
    missed = MissedObject(bundle=staged.bundle, detector=detector)
    assert scale_hints([missed], bare, CONFIG, device="cpu") == []


def test_a_scene_far_away_is_not_taken_for_another_unit(staged: Staged, detector: Detector) -> None:
    """Twice too far, a room was beyond what cameras see, and a tenth of its depth was named."""
    missed = MissedObject(bundle=staged.bundle, detector=detector)
    frame = scaled(staged.frame(), 2.0)
    far = replace(frame, depth_m=np.where(frame.depth_m > 1.7, np.float32(7.9), frame.depth_m))
    (remark,) = scale_hints([missed], far, CONFIG, device="cpu")
    assert "multiply the depth by 0.5" in remark
    (remark,) = scale_hints([replace(missed, detector=None)], far, CONFIG, device="cpu")
    assert "multiply depth_scale in scene_camera.json by 0.1" in remark


def test_no_search_begins_after_a_signal(staged: Staged, detector: Detector) -> None:
    missed = MissedObject(bundle=staged.bundle, detector=detector)
    frame = scaled(staged.frame(), 2.0)
    assert scale_hints([missed], frame, CONFIG, device="cpu", is_stopped=lambda: True) == []


def test_without_an_image_there_is_nothing_to_say(staged: Staged) -> None:
    missed = MissedObject(bundle=replace(staged.bundle, diameter_m=0.001))
    blank = replace(staged.frame(), depth_m=np.zeros((480, 640), np.float32))
    assert scale_hints([missed], None, CONFIG, device="cpu") == []
    assert scale_hints([missed], blank, CONFIG, device="cpu") == []


@pytest.mark.parametrize(
    ("depth", "camera", "words"),
    [
        (0.1, 1.0, r"depth.* by 10\b"),
        (1.0, 0.5, r"is it of another resolution \(multiply its first two rows by 2\)"),
    ],
)
def test_segment_says_what_track_says(
    staged: Staged,
    segmenter: Segmenter,
    depth: float,
    camera: float,
    words: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing found ended without a word of the likely cause."""
    frame = scaled(staged.frame(), depth)
    with BopWriter(tmp_path / "scene") as writer:
        writer.add(replace(frame, K=np.diag([camera, camera, 1.0]) @ frame.K), [], masks=[], masks_visib=[])
    options = SegmentSceneOptions(pictures=False)
    run = segment_scene(BopScene(tmp_path / "scene"), [staged.bundle], segmenter, tmp_path / "out", options)
    remarks = json.loads((run.folder / "summary.json").read_text())["remarks"]
    assert remarks == run.summary["remarks"]
    assert run.summary["found_count"] == {staged.bundle.object_id: 0}
    assert any(re.search(words, remark) for remark in remarks)
    assert re.search(words, caplog.text)
