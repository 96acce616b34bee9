"""A camera of rendered pictures for the camera process, which falls silent and sets its clock when a file says so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.pictures import DEPTH, DEPTH_UNIT_M, RGB, K
from storm_edge.live.sources.camera_link import CameraImage
from storm_edge.replay.pacing import ping_pong_index

OPENER = f"{__name__}:open_camera"
SILENT, CLOCK = "silent", "clock"
"""Files: while the first is there no frame comes; the second holds what stamps are ahead of the clock [ns]."""


class RenderedCamera:
    """Plays pictures to and fro; numbers and stamps go on with time, as of a camera.

    Args:
        folder: Of the pictures.
        rate_hz: Frames per second [Hz].
    """

    def __init__(self, folder: Path, rate_hz: float) -> None:
        self._folder, self._rate_hz = folder, rate_hz
        self._rgb = np.load(folder / RGB, mmap_mode="r")
        self._depth = np.load(folder / DEPTH, mmap_mode="r")
        self._K = np.load(folder / K)
        self._began_s = time.monotonic()
        self._number = -1
        self.counts: dict[str, int] = {}
        self.has_ended = False
        self.serial, self.lock = "rendered", None
        self.words, self.readings = "rendered camera", {"temperature_c": 20.0}

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        """Nothing is to be stopped."""

    def reset(self) -> None:
        """Nothing is to be reset."""

    def wait(self, timeout_s: float) -> CameraImage | None:
        """The next pictures; None where they are not due in time."""
        number = max(self._number + 1, int((time.monotonic() - self._began_s) * self._rate_hz))
        rest_s = self._began_s + number / self._rate_hz - time.monotonic()
        if rest_s > timeout_s or (self._folder / SILENT).exists():
            time.sleep(timeout_s)
            return None
        time.sleep(max(rest_s, 0.0))
        self._number = number
        place = ping_pong_index(number, len(self._rgb))
        clock = self._folder / CLOCK
        ahead_ns = int(clock.read_text() or 0) if clock.exists() else 0
        return CameraImage(
            rgb=np.array(self._rgb[place]),
            depth=np.array(self._depth[place]),
            K=self._K,
            number=number,
            stamp_ns=time.time_ns() + ahead_ns,
            depth_unit_m=DEPTH_UNIT_M,
        )


def open_camera(options: Mapping[str, Any]) -> RenderedCamera:
    """The camera of a folder; `camera_process` calls it."""
    return RenderedCamera(Path(options["file"]), float(options["rate_hz"]))
