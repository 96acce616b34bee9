"""One bad frame is one bad frame: it is passed over, counted and told, and nothing else is lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.errors import MaskError, SceneError, UnitError
from storm_edge.frame import Frame
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.replay.drawing.run_images import VIDEO
from storm_edge.replay.segment_scene import SegmentSceneOptions, segment_scene
from storm_edge.replay.track_scene import SceneRun, TrackSceneOptions, track_scene
from tests.tiny_scene import MODEL, SIZE_PX, pose, write_tiny_scene

FRAMES, BAD = 8, 4
QUIET = TrackSceneOptions(init=Init.MASK, pictures=False)


@pytest.fixture(scope="module")
def thing(tmp_path_factory: pytest.TempPathFactory) -> ObjectBundle:
    path = write_tiny_scene(tmp_path_factory.mktemp("model") / "scene")
    return onboard(path / MODEL, "mm", view_subdivisions=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_scene(tmp_path / "scene", frame_count=FRAMES)


def save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def depth_as_jpeg(path: Path) -> None:
    Image.new("L", SIZE_PX[::-1], 9).save(path.with_suffix(".jpg"))
    path.unlink()


# what is done to which file of the frame, and how it is counted
DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "black colour": ("rgb", lambda p: save(p, np.zeros((*SIZE_PX, 3), np.uint8)), "black"),
    "colour cut short": ("rgb", cut_short, "unreadable"),
    "colour empty": ("rgb", lambda p: p.write_bytes(b""), "unreadable"),
    "colour of 16 bits": ("rgb", lambda p: save(p, np.ones(SIZE_PX, np.uint16)), "wrong_form"),
    "depth missing": ("depth", Path.unlink, "unreadable"),
    "depth cut short": ("depth", cut_short, "unreadable"),
    "depth all zero": ("depth", lambda p: save(p, np.zeros(SIZE_PX, np.uint16)), "no_depth"),
    "depth of 8 bits": ("depth", lambda p: save(p, np.ones(SIZE_PX, np.uint8)), "wrong_form"),
    "depth of 3 channels": ("depth", lambda p: save(p, np.ones((*SIZE_PX, 3), np.uint8)), "wrong_form"),
    "depth as JPEG": ("depth", depth_as_jpeg, "unreadable"),
    "depth of another size": ("depth", lambda p: save(p, np.ones((9, 9), np.uint16)), "wrong_form"),
}


def spoil(path: Path, name: str, frame: int = BAD) -> str:
    folder, damage, reason = DAMAGES[name]
    damage(path / folder / f"{frame:06d}.png")
    return reason


def run(path: Path, thing: ObjectBundle, options: TrackSceneOptions = QUIET) -> SceneRun:
    return track_scene(BopScene(path), [thing], None, path.parent / "out", options)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_bad_frame_is_passed_over(
    path: Path, thing: ObjectBundle, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason = spoil(path, name)
    tracks = run(path, thing).tracks
    assert [track.frame for track in tracks] == [frame for frame in range(FRAMES) if frame != BAD]
    for track in tracks:
        assert track.state is TrackState.TRACKING
        assert track.T_cam_obj is not None
        np.testing.assert_allclose(track.T_cam_obj[:3, 3], pose(track.frame)[:3, 3], atol=0.005)
    summary = json.loads((path.parent / "out" / "summary.json").read_text())
    counts = {key: count for key, count in summary["faults"]["frames"].items() if count}
    assert (counts, summary["ended_by"]) == ({reason: 1}, None)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{BAD:06d}." in line or f"image {BAD}" in line


def test_each_kind_is_told_once_and_all_are_counted(
    path: Path, thing: ObjectBundle, caplog: pytest.LogCaptureFixture
) -> None:
    for frame in (2, 3, 5):
        spoil(path, "depth missing", frame)
    spoil(path, "depth all zero", 6)
    summary = run(path, thing).summary
    assert (summary["faults"]["frames"]["unreadable"], summary["faults"]["frames"]["no_depth"]) == (3, 1)
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 2


@pytest.mark.parametrize("init", [Init.MASK, Init.GT, Init.AUTO])
def test_a_run_begins_after_a_bad_first_frame(path: Path, thing: ObjectBundle, init: Init) -> None:
    spoil(path, "colour cut short", 0)
    tracks = run(path, thing, replace(QUIET, init=init)).tracks
    assert [track.state for track in tracks] == [TrackState.TRACKING] * (FRAMES - 1)


def test_frames_of_a_camera_at_its_rate(path: Path, thing: ObjectBundle) -> None:
    spoil(path, "depth cut short")
    run_ = run(path, thing, replace(QUIET, paced=True, rate_hz=4.0, pictures=True))
    assert BAD not in {track.frame for track in run_.tracks}
    passed_over = run_.summary["faults"]["frames"]["unreadable"]
    assert len(run_.tracks) + passed_over + run_.summary["skipped_frames"] == FRAMES


def test_nothing_but_bad_frames_is_an_error(path: Path, thing: ObjectBundle) -> None:
    for frame in range(FRAMES):
        spoil(path, "depth all zero", frame)
    with pytest.raises(SceneError, match=r"image 0 depth: got no pixel.*; none of 8 frames can be used"):
        run(path, thing)
    assert not (path.parent / "out").exists()


def scale_depth(path: Path, frame: int) -> None:
    cameras = json.loads((path / "scene_camera.json").read_text())
    cameras[str(frame)]["depth_scale"] = 1000.0
    (path / "scene_camera.json").write_text(json.dumps(cameras))


def test_a_wrong_unit_is_of_the_recording_at_first_and_of_a_frame_later(path: Path, thing: ObjectBundle) -> None:
    scale_depth(path, BAD)
    assert run(path, thing).summary["faults"]["frames"]["wrong_unit"] == 1
    scale_depth(path, 0)
    with pytest.raises(UnitError, match="image 0 depth"):
        run(path, thing)


def test_masks_that_mark_nothing_are_waited_out(path: Path, thing: ObjectBundle) -> None:
    masks = sorted((path / "mask_visib").iterdir())
    for mask in masks[:3]:
        save(mask, np.zeros(SIZE_PX, np.uint8))
    states = [track.state for track in run(path, thing).tracks]
    assert states == [TrackState.SEARCHING] * 3 + [TrackState.TRACKING] * (FRAMES - 3)
    for mask in masks:
        save(mask, np.zeros(SIZE_PX, np.uint8))
    with pytest.raises(MaskError, match="mask"):
        run(path, thing)


def halve(path: Path, frames: range) -> None:
    """Those frames by a camera of half the resolution."""
    cameras = json.loads((path / "scene_camera.json").read_text())
    for frame in frames:
        for folder in ("rgb", "depth"):
            file = path / folder / f"{frame:06d}.png"
            save(file, np.ascontiguousarray(np.asarray(Image.open(file))[::2, ::2]))
        K = np.array(cameras[str(frame)]["cam_K"]).reshape(3, 3)
        K[:2] *= 0.5
        cameras[str(frame)]["cam_K"] = K.reshape(-1).tolist()
    (path / "scene_camera.json").write_text(json.dumps(cameras))


def test_another_resolution_in_mid_run_is_followed_and_drawn(path: Path, thing: ObjectBundle) -> None:
    halve(path, range(4, 6))
    found = run(path, thing, replace(QUIET, pictures=True))
    assert [track.state for track in found.tracks] == [TrackState.TRACKING] * FRAMES
    assert found.summary["faults"]["frames"]["camera_changes"] == 2
    sizes = [cv2.imread(str(file)).shape[:2] for file in sorted((found.folder / "overlays").iterdir())]
    assert sizes == [SIZE_PX] * 4 + [(SIZE_PX[0] // 2, SIZE_PX[1] // 2)] * 2 + [SIZE_PX] * 2
    video = cv2.VideoCapture(str(found.folder / VIDEO))
    pictures = [picture for there, picture in iter(video.read, (False, None)) if there]
    assert [picture.shape[:2] for picture in pictures] == [SIZE_PX] * FRAMES
    assert (found.folder / "overlay_sheet.png").is_file()


def test_segmentation_passes_bad_images_over_too(path: Path, thing: ObjectBundle) -> None:
    spoil(path, "depth missing", 2)
    spoil(path, "black colour", 3)
    halve(path, range(4, 6))
    segmenter = Segmenter(None, config=SegmentConfig(source=Source.COLOUR))
    found = segment_scene(
        BopScene(path), [thing], segmenter, path.parent / "out", SegmentSceneOptions(verified=False)
    )
    frames = [entry["frame"] for entry in found.summary["results"]]
    assert frames == [0, 1, 4, 5, 6, 7]
    assert found.summary["frame_count"] == 6
    assert list(found.summary["encode_ms"]) == [str(frame) for frame in frames]
    counts = found.summary["faults"]["frames"]
    assert (counts["unreadable"], counts["black"]) == (1, 1)
    assert (found.folder / "overlay_sheet.png").is_file()
    for file in (path / "depth").iterdir():
        file.unlink()
    with pytest.raises(SceneError, match=r"000000\.png: got no such file.*none of 8"):
        segment_scene(BopScene(path), [thing], segmenter, path.parent / "none", SegmentSceneOptions(verified=False))
    assert not (path.parent / "none").exists()


def test_an_error_in_mid_run_keeps_the_poses_before_it(
    path: Path, thing: ObjectBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = BopScene.frame

    def failing(scene: BopScene, frame_id: int) -> Frame:
        if frame_id == BAD:
            raise MaskError("an error that nobody expects here")
        return whole(scene, frame_id)

    monkeypatch.setattr(BopScene, "frame", failing)
    with pytest.raises(MaskError, match="nobody expects"):
        run(path, thing)
    out = path.parent / "out"
    assert len((out / "poses.jsonl").read_text().splitlines()) == BAD
    assert "nobody expects" in json.loads((out / "summary.json").read_text())["ended_by"]
