"""The camera of benchmark `service_cost` is one that the camera process takes."""

from __future__ import annotations

import time

from benchmarks.picture_camera import OPENER, RATE_HZ, SIZE_PX
from storm_edge.frame import Frame
from storm_edge.live.sources.realsense import RealSenseOptions, RealSenseSource


def test_its_pictures_arrive() -> None:
    source = RealSenseSource(RealSenseOptions(size_px=SIZE_PX, rate_hz=RATE_HZ), opener=OPENER)
    source.open()
    try:
        until_s, numbers = time.monotonic() + 60.0, list[int]()
        while len(numbers) < 3:
            assert time.monotonic() < until_s, source.status
            frame = source.poll(0.1)
            if isinstance(frame, Frame):
                numbers.append(frame.index)
    finally:
        source.close(0.1)
    assert numbers == sorted(set(numbers))
