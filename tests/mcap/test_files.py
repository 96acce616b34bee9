"""Frames in MCAP files: exact, whole, readable by others, and one line where a file is damaged."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from storm_edge.errors import BackendError, OutputError, SceneError, StormEdgeError
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.mcap import ros_types
from storm_edge.mcap.packed_frame import ColourCoding, DepthCoding, PackedFrame, Packer
from storm_edge.mcap.reader import McapScene
from storm_edge.mcap.writer import remove_unfinished, write_mcap
from tests.mcap.frames import SIZE_PX, T0_NS, K, frame, packed

pytest.importorskip("rosbags")


def written(path: Path, frames: list[PackedFrame]) -> Path:
    return write_mcap(path, frames, {"reason": "test"})


@pytest.mark.parametrize("is_millimetres", [True, False])
def test_lossless_frames_come_back_bit_by_bit(tmp_path: Path, is_millimetres: bool) -> None:
    frames = [frame(index, is_millimetres=is_millimetres) for index in (3, 4, 6)]
    packs = packed(frames)
    assert {one.depth_coding for one in packs} == {DepthCoding.MILLIMETRES if is_millimetres else DepthCoding.METRES}
    with McapScene(written(tmp_path / "a.mcap", packs)) as scene:
        assert scene.frame_ids == [3, 4, 6]
        assert scene.about() == {"reason": "test"}
        assert list(scene.lines()) == ['{"frame": 3}', '{"frame": 4}', '{"frame": 6}']
        for before, after in zip(frames, scene, strict=True):
            np.testing.assert_array_equal(after.rgb, before.rgb)
            np.testing.assert_array_equal(after.depth_m, before.depth_m)
            np.testing.assert_array_equal(after.K, before.K)
            assert (after.index, after.stamp_ns) == (before.index, before.stamp_ns)


def test_jpeg_is_nearly_the_same_picture(tmp_path: Path) -> None:
    smooth = frame(0)
    rgb = cv2.GaussianBlur(smooth.rgb, (0, 0), 3.0)
    smooth = type(smooth)(rgb=rgb, depth_m=smooth.depth_m, K=K, index=0)
    with McapScene(written(tmp_path / "a.mcap", packed([smooth], ColourCoding.JPEG))) as scene:
        found = scene.frame(0)
    assert np.abs(found.rgb.astype(int) - rgb).mean() < 4.0
    np.testing.assert_array_equal(found.depth_m, smooth.depth_m)


def test_a_clock_that_leaps_and_a_camera_that_counts_anew_do_not_change_the_order(tmp_path: Path) -> None:
    stamps = [10**15, -5, 10**19, 7]
    frames = [frame(index, stamp_ns=stamp) for index, stamp in zip((8, 9, 0, 1), stamps, strict=True)]
    with McapScene(written(tmp_path / "a.mcap", packed(frames))) as scene:
        assert scene.frame_ids == [0, 1, 2, 3]
        assert [one.stamp_ns for one in scene] == stamps
        for before, after in zip(frames, scene, strict=True):
            np.testing.assert_array_equal(after.rgb, before.rgb)


def test_frames_that_came_twice_or_too_late_are_no_part_of_it(tmp_path: Path) -> None:
    packer = Packer(ColourCoding.LOSSLESS)
    reasons = {0: None, 1: "repeated", 2: "out_of_order", 3: "black", 4: None}
    packs = [packer.pack(frame(index), arrived_ns=T0_NS + index, skipped=reason) for index, reason in reasons.items()]
    with McapScene(written(tmp_path / "a.mcap", packs)) as scene:
        assert scene.frame_ids == [0, 3, 4]


def test_it_is_read_by_others(tmp_path: Path) -> None:
    """By the MCAP project's own library, whose decoder takes the schemas from the file."""
    make_reader = pytest.importorskip("mcap.reader").make_reader
    decoders = pytest.importorskip("mcap_ros2.decoder")
    T_cam_obj = make_T(exp_so3([0.1, 0.2, 0.3]), [0.1, -0.2, 0.6])
    one = frame(5, stamp_ns=1_234_567_890_123)
    path = written(tmp_path / "a.mcap", packed([one], ColourCoding.JPEG, poses=(("mug", T_cam_obj),)))
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[decoders.DecoderFactory()])
        found = {item[1].topic: item for item in reader.iter_decoded_messages()}
    assert found[ros_types.COLOUR_JPEG][3].format == "jpeg"
    depth = found[ros_types.DEPTH][3]
    assert (depth.height, depth.width, depth.encoding, depth.step) == (*SIZE_PX, "16UC1", SIZE_PX[1] * 2)
    values = np.frombuffer(depth.data, dtype=np.uint16).reshape(SIZE_PX)
    np.testing.assert_array_equal(values, np.rint(one.depth_m * 1e3))
    assert (depth.header.stamp.sec, depth.header.stamp.nanosec) == (1234, 567890123)
    np.testing.assert_array_equal(np.array(found[ros_types.CAMERA][3].k).reshape(3, 3), K)
    (transform,) = found[ros_types.TRANSFORMS][3].transforms
    assert transform.child_frame_id == "mug"
    assert (transform.transform.translation.x, transform.transform.translation.z) == (0.1, 0.6)
    assert {schema.encoding for schema, *_ in found.values()} == {"ros2msg"}


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    return written(tmp_path / "sound.mcap", packed([frame(index) for index in range(4)])).read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_a_file_that_is_cut_short_is_one_line(tmp_path: Path, recording: bytes, share: float) -> None:
    path = tmp_path / "cut.mcap"
    path.write_bytes(recording[: int(share * len(recording))])
    with pytest.raises(SceneError, match=r"cut\.mcap: got a file that cannot be read") as raised:
        McapScene(path)
    assert "\n" not in str(raised.value)


def test_damaged_bytes_cost_frames_or_the_file_and_nothing_else(
    tmp_path: Path, recording: bytes, rng: np.random.Generator
) -> None:
    path = tmp_path / "damaged.mcap"
    for _ in range(150):
        damaged = bytearray(recording)
        for place in rng.integers(0, len(damaged), rng.integers(1, 6)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with suppress(StormEdgeError), McapScene(path) as scene:
            for frame_id in scene.frame_ids:
                with suppress(StormEdgeError):
                    scene.frame(frame_id)


def test_what_is_no_recording_of_ours_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no such file"):
        McapScene(tmp_path / "none.mcap")
    (tmp_path / "text.mcap").write_text("hello")
    with pytest.raises(SceneError, match="cannot be read"):
        McapScene(tmp_path / "text.mcap")
    with pytest.raises(SceneError, match="no frames"):
        McapScene(written(tmp_path / "empty.mcap", []))


def test_a_frame_number_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with (
        McapScene(written(tmp_path / "a.mcap", packed([frame(2)]))) as scene,
        pytest.raises(SceneError, match="no such number"),
    ):
        scene.frame(3)


def test_an_older_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_text("photos")
    with pytest.raises(OutputError, match=r"a\.mcap: got File exists"):
        written(path, packed([frame(0)]))
    assert path.read_text() == "photos"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    dead = tmp_path / ".loss-1.mcap.part-999999999"
    alive = tmp_path / f".loss-2.mcap.part-{os.getppid()}"
    others = [tmp_path / ".notes.part-999999999", tmp_path / "loss-3.mcap"]
    for folder in (dead, alive, *others):
        folder.mkdir()
    assert remove_unfinished(tmp_path) == [dead]
    assert sorted(tmp_path.iterdir()) == sorted([alive, *others])


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path / "a.mcap", packed([frame(0)]))
    monkeypatch.setitem(__import__("sys").modules, "rosbags.rosbag2", None)
    with pytest.raises(BackendError, match=r"storm-edge\[robot\]"):
        McapScene(path)
