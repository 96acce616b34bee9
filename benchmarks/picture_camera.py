"""A camera that makes pictures, for a camera process; light to import, as what opens a real one is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_edge.live.sources.camera_link import CameraImage

if TYPE_CHECKING:
    from storm_edge.live.sources.camera_process import Camera

OPENER = f"{__name__}:open_pictures"
RATE_HZ, SIZE_PX = 30.0, (480, 640)


class PictureCamera:
    """Grey pictures at a rate."""

    has_ended = False
    serial, lock = "pictures", None
    words, readings, counts = "pictures", dict[str, float](), dict[str, int]()

    def __init__(self) -> None:
        self._number = 0

    def start(self) -> None:
        """It runs."""

    stop = reset = start

    def wait(self, timeout_s: float) -> CameraImage | None:
        """The next one."""
        time.sleep(1.0 / RATE_HZ)
        self._number += 1
        return CameraImage(
            rgb=np.full((*SIZE_PX, 3), 90, np.uint8),
            depth=np.full(SIZE_PX, 900, np.uint16),
            K=np.eye(3),
            number=self._number,
            stamp_ns=time.time_ns(),
            depth_unit_m=0.001,
        )


def open_pictures(options: Mapping[str, Any]) -> Camera:
    """What the camera process opens."""
    return PictureCamera()
