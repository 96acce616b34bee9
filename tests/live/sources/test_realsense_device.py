"""The code that talks to librealsense, with its own software device and recordings in place of a camera."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from storm_edge.errors import BackendError
from storm_edge.live.sources.camera_link import CameraImage
from storm_edge.live.sources.realsense_device import (
    TELEMETRY,
    RealSenseCamera,
    Streams,
    claim,
    find_device,
    load_library,
)
from tests.live.sources.software_camera import (
    COLOUR_K,
    EXPOSURE_LATE_US,
    RATE_HZ,
    UNIT_M,
    Script,
    SoftwareCamera,
    number_in,
    options_for,
    path_of,
    record,
)

rs = pytest.importorskip("pyrealsense2", reason="pyrealsense2 does not load here", exc_type=ImportError)
LONG_S = 60.0


@contextmanager
def started(script: Script) -> Iterator[SoftwareCamera]:
    camera = SoftwareCamera(script, options_for())
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()


def number_of(image: CameraImage) -> int:
    return number_in(image.rgb, image.depth * image.depth_unit_m)


def numbers_until(camera: RealSenseCamera, last: int) -> list[int]:
    """Which frames the pairs are of, up to the one of that number; fails on a pair of two frames."""
    found, until_s = [-1], time.monotonic() + LONG_S
    while found[-1] < last:
        assert time.monotonic() < until_s, found
        image = camera.wait(0.1)
        if image is not None:
            found.append(number_of(image))
    return found[1:]


def test_pairs_are_never_of_two_frames_through_a_pause_lost_colour_and_a_restart() -> None:
    script = Script(pause_at=100, pause_s=2.0, without_colour=(150, 160), rate_hz=120.0)
    with started(script) as camera:
        found = numbers_until(camera, 299)
        assert len(set(found)) == len(found) == len(sorted(found))
        assert not set(found) & set(range(150, 160))
        assert set(found) & set(range(100, 110))  # it went on after the pause
        assert camera.counts["lone"] > 0
        camera.stop()
        camera.start()
        assert numbers_until(camera, 330)[0] >= 299


def test_a_frame_has_the_cameras_unit_intrinsics_and_time_of_exposure() -> None:
    with started(Script()) as camera:
        until_s, image = time.monotonic() + LONG_S, None
        while image is None and time.monotonic() < until_s:
            image = camera.wait(0.1)
        assert image is not None
        assert image.depth_unit_m == pytest.approx(UNIT_M)
        fx, cx, cy = COLOUR_K
        np.testing.assert_allclose(image.K, [[fx, 0, cx], [0, fx, cy], [0, 0, 1]])
        stamped_ms = Script().first_stamp_ms + number_of(image) * 1e3 / RATE_HZ
        assert image.stamp_ns == pytest.approx(stamped_ms * 1e6 - EXPOSURE_LATE_US * 1e3, abs=2000)
        assert camera.readings == {"temperature_c": 41.0, "depth_unit_m": pytest.approx(UNIT_M)}
        assert camera.words == "Software 0815, USB 3.2, stamps of system_time"
    assert os.environ[TELEMETRY] == "0"


def test_distortion_of_the_lens_is_told() -> None:
    with started(Script(distortion=0.05)) as camera:
        numbers_until(camera, 2)
        assert camera.words.endswith(", lens distortion is not corrected")


def test_a_recording_of_librealsense_goes_through_the_same_code(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    record(path, frame_count=40)
    device = find_device(rs, serial=None, file=path)
    played = RealSenseCamera(rs, device, Streams.of(options_for()))
    played.start()
    try:
        assert not played.has_ended
        found = numbers_until(played, 35)
        until_s = time.monotonic() + LONG_S
        while not played.has_ended:
            assert time.monotonic() < until_s
            played.wait(0.05)
    finally:
        played.stop()
    assert found == sorted(set(found))


def test_usb_2_is_refused_unless_it_is_accepted() -> None:
    with pytest.raises(BackendError, match=r"RealSense 0815: got USB 2.1, expected USB 3; use a USB 3 port"):
        SoftwareCamera(Script(usb="2.1"), options_for())
    assert "USB 2.1" in SoftwareCamera(Script(usb="2.1"), options_for(usb2="accept")).words


def test_streams_that_it_does_not_have_are_one_line() -> None:
    with pytest.raises(BackendError, match=r"got no color at 64x480, 30 Hz, expected both streams"):
        SoftwareCamera(Script(), options_for(size_px=(480, 64)))
    with pytest.raises(BackendError, match=r"got no color at 64x48, 15 Hz"):
        SoftwareCamera(Script(), options_for(rate_hz=15.0))


class Listed:
    """A library whose context lists cameras of these serial numbers."""

    camera_info = rs.camera_info

    def __init__(self, *serials: str) -> None:
        self._devices = []
        for serial in serials:
            device = rs.software_device()
            device.register_info(rs.camera_info.serial_number, serial)
            self._devices.append(device)

    def context(self) -> Listed:
        return self

    def query_devices(self) -> list[object]:
        return self._devices


def test_the_camera_is_the_one_that_was_named_or_the_only_one(tmp_path: Path) -> None:
    two = Listed("1", "2")
    assert find_device(two, serial="2") is two.query_devices()[1]
    assert find_device(Listed("1"), serial=None) is not None
    for library, serial, words in (
        (Listed(), None, "RealSense: got no camera, expected one camera; check the cable"),
        (Listed(), "7", "RealSense 7: got no camera, expected that camera; check the cable"),
        (two, "7", "RealSense 7: got camera 1, 2, expected that camera"),
        (two, None, "RealSense: got camera 1, 2, expected one camera; name one of them as source.serial"),
    ):
        with pytest.raises(BackendError) as raised:
            find_device(library, serial=serial)
        assert words in str(raised.value)
    (tmp_path / "x.db3").write_text("no recording")
    with pytest.raises(BackendError, match=r"x.db3: got .*, expected a recording of librealsense"):
        find_device(rs, serial=None, file=tmp_path / "x.db3")


def test_a_camera_serves_one_service_at_a_time() -> None:
    serial = f"test-{os.getpid()}"
    words = f"RealSense {serial}: got a camera in use by another service"
    with claim(serial), pytest.raises(BackendError, match=words):
        claim(serial)
    claim(serial).close()


class Refuses:
    """A sensor that another program has."""

    def supports(self, option: object) -> bool:
        return False

    def open(self, profiles: object) -> None:
        raise RuntimeError("xioctl(VIDIOC_S_FMT) failed, errno=16 Last Error: Device or resource busy")

    def stop(self) -> None:
        raise RuntimeError("stop_streaming() failed. UVC device is not streaming!")

    close = stop


def test_a_camera_that_another_program_has_is_one_line() -> None:
    camera = SoftwareCamera(Script(), options_for())
    camera._sensors = [(Refuses(), [])]
    with pytest.raises(BackendError, match=r"RealSense 0815: got xioctl.* busy, expected one that starts; stop"):
        RealSenseCamera.start(camera)
    RealSenseCamera.stop(camera)
    assert camera.counts["stops_failed"] == 2


def test_a_reset_that_the_device_does_not_take_is_one_line() -> None:
    with pytest.raises(BackendError, match=r"RealSense 0815: got .*, expected a reset; unplug it"):
        SoftwareCamera(Script(), options_for()).reset()


def test_the_library_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(BackendError, match=r"install storm-edge\[realsense\]"):
        load_library()
