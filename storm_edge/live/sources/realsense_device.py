"""A RealSense camera through librealsense: its sensors, a syncer, depth aligned to colour; in a process of its own.

Sensors and a syncer, not the library's pipeline: those let go of the interpreter while they wait, and take any
device, recorded and software ones too. The syncer pairs by stamps; what it pairs is checked, since it also gives lone
frames, and pairs whose stamps are a frame apart.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import BackendError, mismatch
from storm_edge.live.sources.camera_link import CameraImage

TELEMETRY = "RS2_RUM_CLOUD_ENABLED"
"""Set to 0 the library sends nothing about its use."""


def load_library() -> Any:
    """The module `pyrealsense2`, with telemetry off.

    Raises:
        BackendError: It is not installed, or does not load.
    """
    os.environ.setdefault(TELEMETRY, "0")
    try:
        import pyrealsense2
    except ImportError as error:
        remedy = "install storm-edge[realsense], and on Debian or Ubuntu the package libusb-1.0-0"
        raise BackendError(mismatch("pyrealsense2", error, "a library that loads", remedy)) from error
    return pyrealsense2


def find_device(rs: Any, *, serial: str | None, file: Path | None = None) -> Any:
    """The camera with that serial number, or the only one; or a recording of the library's own format.

    Raises:
        BackendError: There is none, it is not there, or there are several.
    """
    if file is not None:
        try:
            return rs.context().load_device(str(file))
        except RuntimeError as error:
            raise BackendError(mismatch(file, error, "a recording of librealsense (.db3)", "check it")) from error
    found = {device.get_info(rs.camera_info.serial_number): device for device in rs.context().query_devices()}
    there = f"camera {', '.join(sorted(found))}" if found else "no camera"
    if serial is not None and serial not in found:
        remedy = "check the cable, the port and the serial number (rs-enumerate-devices)"
        raise BackendError(mismatch(f"RealSense {serial}", there, "that camera", remedy))
    if serial is None and len(found) != 1:
        remedy = "name one of them as source.serial" if found else "check the cable, the port and the udev rule"
        raise BackendError(mismatch("RealSense", there, "one camera", remedy))
    return next(iter(found.values())) if serial is None else found[serial]


def claim(serial: str) -> socket.socket:
    """Keep a camera to this process until the socket is closed or the process ends, however it ends.

    Raises:
        BackendError: Another process of ours has it.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0storm-edge/camera/{serial}")
    except OSError as error:
        lock.close()
        remedy = "stop the other storm-edge run, or name another camera as source.serial"
        what = f"RealSense {serial}"
        raise BackendError(mismatch(what, "a camera in use by another service", "a free one", remedy)) from error
    return lock


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What a camera is to give."""

    size_px: tuple[int, int]
    """Height and width of colour [px]."""
    rate_hz: float
    """Frames per second."""
    pair_within: float
    """Largest difference of the stamps of a pair, in periods."""
    queue: int
    """Pairs that wait in the syncer at most; the oldest goes."""
    accepts_usb2: bool
    """Whether a USB 2 port will do."""

    @staticmethod
    def of(options: Mapping[str, Any]) -> Streams:
        """From what the camera process was told."""
        return Streams(
            size_px=(options["size_px"][0], options["size_px"][1]),
            rate_hz=options["rate_hz"],
            pair_within=options["pair_within"],
            queue=options["queue"],
            accepts_usb2=options["usb2"] == "accept",
        )


class RealSenseCamera:
    """One device; used by one thread.

    Args:
        rs: The library.
        device: The device.
        streams: What it is to give.

    Attributes:
        counts: Frames that were left out, by reason.
        lock: What keeps it to its service, see `claim`.

    Raises:
        BackendError: It is on a USB 2 port, or has no such streams.
    """

    def __init__(self, rs: Any, device: Any, streams: Streams) -> None:
        self._rs, self._device, self._streams = rs, device, streams
        self._apart_ms = streams.pair_within * 1e3 / streams.rate_hz
        self.counts: Counter[str] = Counter()
        self._last = (-1, -1)
        self._domain, self._is_distorted = "", False
        self.lock: socket.socket | None = None
        self.serial = self._info("serial_number")
        self._usb = self._info("usb_type_descriptor")
        if self._usb.startswith("2") and not streams.accepts_usb2:
            remedy = "use a USB 3 port and cable, or accept it with source.usb2: accept and a lower rate"
            raise BackendError(mismatch(f"RealSense {self.serial}", f"USB {self._usb}", "USB 3", remedy))
        self._sensors = self._chosen_profiles(streams.rate_hz)
        self._syncer: Any = None
        self._align = rs.align(rs.stream.color)

    @property
    def words(self) -> str:
        """Which camera, on what, and whose clock stamps its frames."""
        usb = f", USB {self._usb}" if self._usb else ""
        domain = f", stamps of {self._domain}" if self._domain else ""
        lens = ", lens distortion is not corrected" if self._is_distorted else ""
        return f"{self._info('name')} {self.serial}{usb}{domain}{lens}".strip()

    @property
    def readings(self) -> Mapping[str, float]:
        """``temperature_c`` and ``depth_unit_m``, where the camera tells them."""
        found = {}
        option = self._rs.option
        for sensor, _ in self._sensors:
            for name, key in ((option.asic_temperature, "temperature_c"), (option.depth_units, "depth_unit_m")):
                try:
                    if sensor.supports(name):
                        found[key] = float(sensor.get_option(name))
                except RuntimeError:  # it is busy, or gone
                    self.counts["readings_failed"] += 1
        return found

    @property
    def has_ended(self) -> bool:
        """Whether it is a recording that was played to its end."""
        if not self._device.is_playback() or self._syncer is None:
            return False
        stopped = self._rs.playback_status.stopped
        return bool(self._device.as_playback().current_status() == stopped) and self._last != (-1, -1)

    def start(self) -> None:
        """Start the sensors.

        Raises:
            BackendError: Another program has the camera, or it does not answer.
        """
        self._syncer = self._rs.syncer(self._streams.queue)
        self._last = (-1, -1)
        try:
            for sensor, profiles in self._sensors:
                option = self._rs.option.global_time_enabled
                if sensor.supports(option):
                    sensor.set_option(option, 1.0)
                sensor.open(profiles)
                sensor.start(self._syncer)
        except RuntimeError as error:
            remedy = "stop what else uses it, or unplug it and plug it in again"
            raise BackendError(mismatch(f"RealSense {self.serial}", error, "one that starts", remedy)) from error

    def stop(self) -> None:
        """Stop the sensors, those that run."""
        for sensor, _ in self._sensors:
            for end in (sensor.stop, sensor.close):
                try:
                    end()
                except RuntimeError:  # it was not running, or is gone
                    self.counts["stops_failed"] += 1
        self._syncer = None

    def reset(self) -> None:
        """Have the camera reset itself; it must be found and opened anew afterwards.

        Raises:
            BackendError: It does not take that.
        """
        try:
            self._device.hardware_reset()
        except RuntimeError as error:
            remedy = "unplug it and plug it in again"
            raise BackendError(mismatch(f"RealSense {self.serial}", error, "a reset", remedy)) from error

    def wait(self, timeout_s: float) -> CameraImage | None:
        """The next pair; None where none came in time, or what came is no pair."""
        is_there, frames = self._syncer.try_wait_for_frames(max(int(timeout_s * 1e3), 1))
        if not is_there:
            return None
        colour, depth = frames.get_color_frame(), frames.get_depth_frame()
        if not (colour and depth):
            self.counts["lone"] += 1
            return None
        if not self._is_pair(colour, depth):
            return None
        aligned = self._align.process(frames)
        on_colour, colour = aligned.get_depth_frame(), aligned.get_color_frame()
        self._domain = colour.get_frame_timestamp_domain().name
        lens = colour.get_profile().as_video_stream_profile().get_intrinsics()
        self._is_distorted = any(abs(term) > 1e-6 for term in lens.coeffs)
        return CameraImage(
            rgb=self._as_rgb(colour),
            depth=np.asanyarray(on_colour.get_data()),
            K=_matrix(lens),
            number=colour.get_frame_number(),
            stamp_ns=self._exposed_ns(colour),
            depth_unit_m=float(depth.get_units()),
        )

    def _is_pair(self, colour: Any, depth: Any) -> bool:
        """Whether both are of one moment, and neither was in a pair before."""
        numbers = colour.get_frame_number(), depth.get_frame_number()
        if colour.get_frame_timestamp_domain() != depth.get_frame_timestamp_domain():
            self.counts["of_two_clocks"] += 1
            return False
        if abs(colour.get_timestamp() - depth.get_timestamp()) > self._apart_ms:
            self.counts["apart"] += 1
            return False
        if numbers[0] == self._last[0] or numbers[1] == self._last[1]:
            self.counts["repeated"] += 1
            return False
        self._last = numbers
        return True

    def _exposed_ns(self, frame: Any) -> int:
        """Middle of the exposure, by the frame's clock [ns]; where the camera tells no more, when it was stamped."""
        key = self._rs.frame_metadata_value
        stamp_ns: int = round(frame.get_timestamp() * 1e6)
        if frame.supports_frame_metadata(key.frame_timestamp) and frame.supports_frame_metadata(key.sensor_timestamp):
            late_us = frame.get_frame_metadata(key.frame_timestamp) - frame.get_frame_metadata(key.sensor_timestamp)
            stamp_ns -= late_us * 1000
        return stamp_ns

    def _as_rgb(self, colour: Any) -> NDArray[np.uint8]:
        data: NDArray[np.uint8] = np.asanyarray(colour.get_data())
        return data[..., ::-1] if colour.get_profile().format() == self._rs.format.bgr8 else data

    def _chosen_profiles(self, rate_hz: float) -> list[tuple[Any, list[Any]]]:
        """The sensors to start, each with its profiles."""
        formats = self._rs.format
        wanted = (
            (self._rs.stream.color, (formats.rgb8, formats.bgr8), self._streams.size_px),
            (self._rs.stream.depth, (formats.z16,), None),
        )
        chosen: dict[int, tuple[Any, list[Any]]] = {}
        for stream, allowed, size_px in wanted:
            best: tuple[tuple[bool, int], int, Any, Any] | None = None
            for place, sensor in enumerate(self._device.query_sensors()):
                for profile in sensor.get_stream_profiles():
                    if profile.stream_type() != stream or profile.format() not in allowed:
                        continue
                    video = profile.as_video_stream_profile()
                    size = video.height(), video.width()
                    if profile.fps() != round(rate_hz) or (size_px is not None and size != size_px):
                        continue
                    # Depth of colour's size where there is one, else the largest: it is resampled onto colour.
                    rank = size == self._streams.size_px, -allowed.index(profile.format()) or size[0] * size[1]
                    if best is None or rank > best[0]:
                        best = rank, place, sensor, profile
            if best is None:
                got = f"no {stream.name} at {self._streams.size_px[1]}x{self._streams.size_px[0]}, {rate_hz:g} Hz"
                remedy = "choose a size and rate that rs-enumerate-devices lists, under camera in the profile"
                raise BackendError(mismatch(f"RealSense {self.serial}", got, "both streams", remedy))
            chosen.setdefault(best[1], (best[2], []))[1].append(best[3])
        return list(chosen.values())

    def _info(self, name: str) -> str:
        key = getattr(self._rs.camera_info, name)
        return str(self._device.get_info(key)) if self._device.supports(key) else ""


def _matrix(lens: Any) -> NDArray[np.float64]:
    """``K`` of librealsense's intrinsics, ``(3, 3)`` [px]; it has pixel centres on integers, as we do."""
    return np.array([[lens.fx, 0.0, lens.ppx], [0.0, lens.fy, lens.ppy], [0.0, 0.0, 1.0]])
