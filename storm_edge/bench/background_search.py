"""Keeps a background lane busy with searches while frames are timed."""

from __future__ import annotations

import time
from collections.abc import Generator

from storm_edge.bench.player import PlayedFrame
from storm_edge.frame import Frame
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture
from storm_edge.pipeline.detect.detection import DetectionResult
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

_TIMEOUT_S = 60.0
"""How long the last search is waited for."""


class BackgroundSearch:
    """As soon as one search has ended the next begins, on the newest frame.

    Args:
        lane: Runs the searches.
        detector: Does them.
        size_px: Height and width of the frames.
        device: Warp device name.
    """

    def __init__(self, lane: BackgroundLane, detector: Detector, size_px: tuple[int, int], device: str) -> None:
        self._lane, self._detector = lane, detector
        self._buffers = FrameBuffers(*size_px, device)
        self._future: LaneFuture[DetectionResult] | None = None
        self._began_s = 0.0
        self._begun = self._found = 0
        self.durations_s: list[float] = []
        """Of the searches that ended; as seen at the end of a frame, so up to one frame too long."""

    def after(self, played: PlayedFrame) -> None:
        """Called after each frame: take the result of the search that ended, and begin another."""
        if self._future is not None and not self._future.done():
            return
        self._take_result()
        self._begun += 1
        self._began_s = time.perf_counter()
        self._future = self._lane.submit(self._work(played.frame), kind="search")

    def finish(self) -> None:
        """Wait for the search under way."""
        give_up_s = time.perf_counter() + _TIMEOUT_S
        while self._future is not None and not self._future.done() and time.perf_counter() < give_up_s:
            time.sleep(0.001)
        self._take_result()

    def counts(self) -> dict[str, int]:
        """Searches begun, ended, and those of them that found the object."""
        return {
            "searches begun": self._begun,
            "searches ended": len(self.durations_s),
            "searches that found it": self._found,
        }

    def _take_result(self) -> None:
        if self._future is None or not self._future.done():
            return
        answer = self._future.result()
        self._future = None
        self.durations_s.append(time.perf_counter() - self._began_s)
        self._found += answer is not None and answer.found is not None

    def _work(self, frame: Frame) -> Generator[str, None, DetectionResult]:
        self._buffers.upload(frame)
        yield "upload"
        return (yield from self._detector.chunks(frame, self._buffers))
