"""Losses are kept as files, within limits, and the loop never waits for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.errors import OutputError
from storm_edge.frame import Frame
from storm_edge.live.factory import open_session
from storm_edge.live.sinks import FrameReport
from storm_edge.live.track_report import Track, TrackState
from storm_edge.mcap.reader import McapScene
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.service import loss_recorder
from storm_edge.service.beside_sections import LossSection
from storm_edge.service.loss_folder import LossFolder
from storm_edge.service.loss_recorder import LossRecorder
from tests.cli.conftest import Command, storm_edge, thing  # noqa: F401
from tests.mcap.frames import frame
from tests.tiny_scene import SIZE_PX, WALL_M, K, box_mesh, pose

pytest.importorskip("rosbags")

LONG_S = 20.0
"""How long an event is waited for; it comes at once, on a machine that is not busy [s]."""


def track(index: int, state: TrackState = TrackState.TRACKING) -> Track:
    T_cam_obj = np.eye(4) if state.name in ("TRACKING", "SUSPECT") else None
    return Track(frame=index, stamp_ns=index, object_id="mug#2", state=state, T_cam_obj=T_cam_obj)


def report(index: int, state: TrackState = TrackState.TRACKING) -> FrameReport:
    return FrameReport(frame=index, stamp_ns=index, tracks=(track(index, state),))


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LONG_S
    while not is_so():
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.005)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LossRecorder]:
    made = LossRecorder(tmp_path / "losses", LossSection(after_s=0.0, free_mib=0.0))
    yield made
    made.close(LONG_S)


def lose(recorder: LossRecorder, index: int) -> None:
    """Something is lost in a frame; returns when that was seen to."""
    before = recorder.counts
    recorder.add(frame(index), report(index, TrackState.LOST))
    wait_until(lambda: recorder.counts.written + recorder.counts.failed > before.written + before.failed)


def test_a_loss_leaves_a_file_with_frames_states_and_poses(recorder: LossRecorder) -> None:
    for index in range(3):
        recorder.add(frame(index), report(index))
    lose(recorder, 3)
    (file,) = recorder.folder.iterdir()
    assert file.name == recorder.counts.last_file
    assert file.name.endswith("-mug#2.mcap")
    with McapScene(file) as scene:
        assert scene.frame_ids == [0, 1, 2, 3]
        assert scene.about()["reasons"] == ["mug#2"]
        assert [json.loads(line)["state"] for line in scene.lines()] == ["TRACKING"] * 3 + ["LOST"]


def test_a_file_can_be_asked_for(recorder: LossRecorder) -> None:
    recorder.record()
    recorder.add(frame(0), report(0))
    wait_until(lambda: recorder.counts.written == 1)
    assert str(recorder.counts.last_file).endswith("-asked.mcap")


def test_a_file_can_be_asked_for_while_the_camera_is_silent(recorder: LossRecorder) -> None:
    recorder.add(frame(0), report(0))
    wait_until(lambda: recorder.counts.kept_mib > 0.0)
    recorder.record()
    wait_until(lambda: recorder.counts.written == 1)


def test_what_is_in_progress_is_written_at_the_end(tmp_path: Path) -> None:
    recorder = LossRecorder(tmp_path, LossSection(after_s=100.0, longest_s=100.0, free_mib=0.0))
    recorder.add(frame(0), report(0, TrackState.LOST))
    assert recorder.close(LONG_S)
    with McapScene(next(tmp_path.glob("*.mcap"))) as scene:
        assert scene.frame_ids == [0]


def test_the_loop_waits_neither_for_packing_nor_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer: frames and clips are given up and counted, and `add` returns."""
    hangs = threading.Event()
    monkeypatch.setattr(loss_recorder, "write_mcap", lambda path, *_: hangs.wait(LONG_S) and path)
    recorder = LossRecorder(tmp_path, LossSection(after_s=0.0, free_mib=0.0))
    try:
        for index in range(3):
            recorder.add(frame(index), report(index, TrackState.LOST))
            wait_until(lambda n=index: recorder.counts.given_up + recorder._clips.qsize() >= min(n, 1))
        wait_until(lambda: recorder.counts.given_up == 1)
        packs = recorder._packer.pack
        monkeypatch.setattr(recorder._packer, "pack", lambda *a, **b: hangs.wait(LONG_S) and packs(*a, **b))
        for index in range(100):
            recorder.add(frame(0), report(index))
        assert recorder.counts.dropped_frames >= 100 - loss_recorder._MOST_WAITING - 1
    finally:
        hangs.set()
        recorder.close(LONG_S)


def test_the_oldest_files_go_for_a_new_one_and_others_stay(tmp_path: Path) -> None:
    theirs = [tmp_path / "loss-20200101T000000.000Z-mug.mcap", tmp_path / "kept.mcap", tmp_path / "notes.txt"]
    for file in theirs:
        file.write_text("not of ours")
    section = LossSection(after_s=0.0, before_s=0.1, disk_mib=1.0, free_mib=0.0)
    recorder = LossRecorder(tmp_path, section)
    recorder._folder._most_bytes = 60_000
    try:
        names = []
        for index in range(6):
            lose(recorder, index)
            names.append(recorder.counts.last_file)
        left = sorted(file.name for file in tmp_path.iterdir() if file not in theirs)
        assert left == names[-len(left) :]
        assert 0 < len(left) < 6
        assert recorder.counts.disk_mib * 2**20 <= 60_000
        assert all(file.read_text() == "not of ours" for file in theirs)
    finally:
        recorder.close(LONG_S)


def test_names_rise_and_none_is_given_twice(tmp_path: Path) -> None:
    folder = LossFolder(tmp_path, LossSection())
    first = folder.new_name(["a/b", "../c"], 1.7e9)
    assert first.parent == tmp_path
    first.write_text("")
    assert folder.new_name(["a/b", "../c"], 1.7e9).name > first.name


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=False)
    if done.returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_counted_and_told_and_the_next_loss_is_recorded(disk: Path) -> None:
    recorder = LossRecorder(disk, LossSection(after_s=0.0, before_s=0.1, free_mib=0.0))
    photos = disk / "photos.raw"
    photos.write_bytes(b"x" * (shutil.disk_usage(disk).free - 8192))
    try:
        lose(recorder, 0)
        assert recorder.counts.failed == 1
        assert "free" in str(recorder.counts.last_error)
        recorder._folder._free_bytes = -(10**9)  # the room is thought to be there, and is not
        lose(recorder, 1)
        assert recorder.counts.failed == 2
        assert list(disk.iterdir()) == [photos]
        photos.unlink()
        lose(recorder, 2)
        assert (recorder.counts.written, recorder.counts.last_error) == (1, None)
    finally:
        recorder.close(LONG_S)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file that can be written"):
        LossRecorder(tmp_path / "file" / "losses", LossSection())


def box_frame(index: int, *, is_there: bool) -> Frame:
    """The tiny scene, with or without its box."""
    from storm_edge.kernels.renderer import render

    picture = render(box_mesh(), pose(index), K, SIZE_PX)
    seen = (picture.mask[0] > 0) & is_there
    rgb = np.where(seen[..., None], picture.colour[0] * 255.0, 90.0).astype(np.uint8)
    depth_m = np.where(seen, picture.depth[0], np.float32(WALL_M)).astype(np.float32)
    return Frame(rgb=rgb, depth_m=depth_m, K=K, stamp_ns=index * 33_333_333, index=index)


def told(line: str) -> dict[str, Any]:
    content = json.loads(line)
    return {key: content[key] for key in ("frame", "object", "state", "T_cam_obj", "confidence")}


def test_a_recorded_loss_replayed_has_the_same_states_and_poses(
    storm_edge: Command,  # noqa: F811
    thing: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    section = LossSection(before_s=100.0, after_s=100.0, longest_s=500.0, colour="lossless", free_mib=0.0)
    recorder = LossRecorder(tmp_path / "losses", section)
    lines: list[str] = []
    with open_session([ObjectBundle.load(thing)], None) as session:
        for index in range(30):
            one = box_frame(index, is_there=not 8 <= index < 18)
            tracks = session.step(one).tracks
            recorder.add(one, FrameReport(frame=index, stamp_ns=one.stamp_ns, tracks=tuple(tracks)))
            wait_until(lambda: not recorder._waiting)
            lines += [track.line() for track in tracks]
    assert recorder.close(LONG_S)
    states = [json.loads(line)["state"] for line in lines]
    assert "LOST" in states[8:18], states
    assert states[-1] == "TRACKING", states
    (file,) = recorder.folder.iterdir()
    out = tmp_path / "out"
    ended = storm_edge("track", file, "--object", thing, "--bundle", "none", "--no-pictures", "--out", out)
    assert (ended.status, ended.err) == (0, "")
    again = (out / "poses.jsonl").read_text().splitlines()
    assert [told(line) for line in again] == [told(line) for line in lines]
    with McapScene(file) as scene:
        assert [told(line) for line in scene.lines()] == [told(line) for line in lines]
