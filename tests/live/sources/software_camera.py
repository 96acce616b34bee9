"""Librealsense's own software device, fed with numbered pictures: what a RealSense camera is without one.

Runs in the camera process (`open_camera` is what opens it there) or in the test's own. Every pixel of colour and of
depth says which frame it is of, so that a pair of two frames shows.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storm_edge.live.sources.realsense_device import RealSenseCamera, Streams, claim, load_library

OPENER = f"{__name__}:open_camera"
SCRIPT = "STORM_EDGE_TEST_CAMERA"
"""Environment variable that says what the camera does."""
SIZE_PX = (48, 64)
RATE_HZ = 30.0
UNIT_M = 0.001
FIRST_DEPTH = 1000
DEPTH_K, COLOUR_K = (60.0, 31.5, 23.5), (60.0, 31.5, 23.5)
EXPOSURE_LATE_US = 4000
"""How long after the middle of the exposure a frame is stamped."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the camera does."""

    frame_count: int = 10**9
    rate_hz: float = RATE_HZ
    """At which it is fed; its stamps are always those of `RATE_HZ`."""
    pause_at: int = -1
    """Before this frame it pauses."""
    pause_s: float = 0.0
    without_colour: tuple[int, int] = (0, 0)
    """Frames from the first to before the second that have depth alone."""
    usb: str = "3.2"
    serial: str = "0815"
    first_stamp_ms: float = 1.7e12
    """The device works out its rate from stamps and numbers, and pairs nothing where that comes out odd."""
    distortion: float = 0.0
    """First coefficient of the colour camera's lens."""
    record_to: str | None = None
    """Where librealsense records it."""

    def environment(self) -> dict[str, str]:
        return {SCRIPT: json.dumps(asdict(self))}


class SoftwareCamera(RealSenseCamera):
    """The device, and the thread that feeds it while it is started."""

    def __init__(self, script: Script, options: Mapping[str, Any]) -> None:
        rs = load_library()
        self._script, self._number = script, 0
        self.device = rs.software_device()
        info = rs.camera_info
        for key, value in ((info.name, "Software"), (info.serial_number, script.serial)):
            self.device.register_info(key, value)
        self.device.register_info(info.usb_type_descriptor, script.usb)
        self.depth = self.device.add_sensor("Stereo Module")
        self.colour = self.device.add_sensor("RGB Camera")
        self.depth.add_read_only_option(rs.option.depth_units, UNIT_M)
        self.depth.add_read_only_option(rs.option.asic_temperature, 41.0)
        self._depth_profile = self.depth.add_video_stream(_stream(rs, rs.stream.depth, 0, rs.format.z16, 2, DEPTH_K))
        self._colour_profile = self.colour.add_video_stream(
            _stream(rs, rs.stream.color, 1, rs.format.rgb8, 3, COLOUR_K, script.distortion)
        )
        same = rs.extrinsics()
        same.rotation, same.translation = [1.0, 0, 0, 0, 1, 0, 0, 0, 1], [0.0, 0.0, 0.0]
        self._depth_profile.register_extrinsics_to(self._colour_profile, same)
        device = self.device
        if script.record_to is not None:
            device = self.recorder = rs.recorder(script.record_to, self.device)
        super().__init__(rs, device, Streams.of(options))
        self._stopping, self.fed = threading.Event(), threading.Event()
        self._feeder: threading.Thread | None = None

    def start(self) -> None:
        super().start()
        self._stopping.clear()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._feeder is not None:
            self._feeder.join()
        super().stop()

    def _feed(self) -> None:
        script, rs, due_s = self._script, self._rs, time.monotonic()
        while self._number < script.frame_count and not self._stopping.is_set():
            n, self._number = self._number, self._number + 1
            if n == script.pause_at:
                time.sleep(script.pause_s)
                due_s = time.monotonic()
            depth = np.full(SIZE_PX, FIRST_DEPTH + n % 50000, np.uint16)
            rgb = np.empty((*SIZE_PX, 3), np.uint8)
            rgb[...] = (n % 256, n // 256 % 256, 77)
            stamp_ms = script.first_stamp_ms + n * 1e3 / RATE_HZ
            for sensor in (self.depth, self.colour):
                sensor.set_metadata(rs.frame_metadata_value.actual_fps, round(RATE_HZ * 1e3))
                sensor.set_metadata(rs.frame_metadata_value.frame_timestamp, round(stamp_ms * 1e3))
                late_us = round(stamp_ms * 1e3) - EXPOSURE_LATE_US
                sensor.set_metadata(rs.frame_metadata_value.sensor_timestamp, late_us)
            self.depth.on_video_frame(_frame(rs, depth, 2, n, stamp_ms, self._depth_profile))
            if not script.without_colour[0] <= n < script.without_colour[1]:
                self.colour.on_video_frame(_frame(rs, rgb, 3, n, stamp_ms, self._colour_profile))
            due_s += 1.0 / script.rate_hz
            self._stopping.wait(max(due_s - time.monotonic(), 0.0))
        self.fed.set()


def open_camera(options: Mapping[str, Any]) -> SoftwareCamera:
    """What the camera process opens, kept to its service as by `open_realsense`; its script is in the environment."""
    camera = SoftwareCamera(Script(**json.loads(os.environ.get(SCRIPT, "{}"))), options)
    if camera.serial != options["locked"]:
        camera.lock = claim(camera.serial)
    return camera


def number_in(rgb: np.ndarray, depth_m: np.ndarray) -> int:
    """Which frame a pair is of; fails where colour and depth are of two."""
    of_colour = int(rgb[24, 32, 0]) + 256 * int(rgb[24, 32, 1])
    of_depth = round(float(depth_m[24, 32]) / UNIT_M) - FIRST_DEPTH
    assert of_colour == of_depth, f"colour of frame {of_colour} with depth of frame {of_depth}"
    assert (rgb[..., 2] == 77).all()
    return of_colour


def options_for(script: Script | None = None, **changes: Any) -> dict[str, Any]:
    """Options of a camera in the test's own process."""
    return {
        "size_px": SIZE_PX,
        "rate_hz": RATE_HZ,
        "pair_within": 0.5,
        "queue": 4,
        "usb2": "refuse",
        "serial": None,
        "file": None,
        **changes,
    }


def _stream(
    rs: Any, stream: Any, number: int, form: Any, bpp: int, K: tuple[float, float, float], distortion: float = 0.0
) -> Any:
    made = rs.video_stream()
    made.type, made.index, made.uid, made.fmt, made.bpp = stream, 0, number, form, bpp
    made.height, made.width = SIZE_PX
    made.fps = round(RATE_HZ)
    lens = rs.intrinsics()
    lens.height, lens.width = SIZE_PX
    lens.fx = lens.fy = K[0]
    lens.ppx, lens.ppy = K[1], K[2]
    lens.model = rs.distortion.inverse_brown_conrady if distortion else rs.distortion.none
    lens.coeffs = [distortion, 0.0, 0.0, 0.0, 0.0]
    made.intrinsics = lens
    return made


def _frame(rs: Any, pixels: np.ndarray, bpp: int, number: int, stamp_ms: float, profile: Any) -> Any:
    made = rs.software_video_frame()
    made.pixels, made.stride, made.bpp = pixels, SIZE_PX[1] * bpp, bpp
    made.timestamp, made.domain, made.frame_number = stamp_ms, rs.timestamp_domain.system_time, number
    made.depth_units = UNIT_M
    made.profile = profile.as_video_stream_profile()
    return made


def record(path: Path, frame_count: int) -> None:
    """Have librealsense record the software device."""
    camera = SoftwareCamera(Script(record_to=str(path), frame_count=frame_count), options_for())
    camera.start()
    camera.fed.wait(60.0)
    camera.stop()
    del camera.recorder, camera._device, camera._sensors  # which ends the file


def path_of(folder: Path) -> Path:
    """A recording of librealsense in a folder."""
    return folder / "camera.db3"
