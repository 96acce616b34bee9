"""Watches a camera's first images for depth that does not lie on colour, a chunk per frame, and tells it once.

The offset is one of the camera, so a few images with some time in between are enough; afterwards nothing is done.
A chunk takes about a millisecond, and only the first one of an image reads the frame.
"""

from __future__ import annotations

import logging
from collections.abc import Generator

from storm_edge.frame import Frame
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig
from storm_edge.pipeline.depth_offset.correlation import EdgeCorrelation, correlate
from storm_edge.pipeline.depth_offset.offset import is_sure, measure_offset

_log = logging.getLogger(__name__)


class DepthOffsetWatch:
    """Measures the offset over some images.

    Args:
        config: How, and from where on it is told.

    Attributes:
        remark: What was found, as a line, which was logged as a warning, too; None where depth lies on colour.
    """

    def __init__(self, config: DepthOffsetConfig) -> None:
        self.remark: str | None = None
        self._config = config
        self._size_px = (0, 0)
        self._work: Generator[None, None, EdgeCorrelation | None] | None = None
        self._sum: EdgeCorrelation | None = None
        self._begun_count = self._image_count = self._wait = 0

    def look(self, frame: Frame, *, at_once: bool = False) -> None:
        """Do a chunk of the image under way, or begin with this one; or do all of it where nothing waits."""
        config = self._config
        if not config.enabled or self.remark is not None:
            return
        if frame.size_px != self._size_px:
            self._begin(frame.size_px)
        if self._work is None:
            if self._wait or self._begun_count >= config.max_images:
                self._wait = max(self._wait - 1, 0)
                return
            self._work = correlate(frame, config)
            self._begun_count += 1
        if at_once:
            self._add(run_to_completion(self._work))
            self._wait = 0
            return
        try:
            next(self._work)
        except StopIteration as done:
            self._add(done.value)

    def conclude(self) -> None:
        """There are no more frames: end the image under way, and decide by what there is."""
        if self._work is not None:
            self._add(run_to_completion(self._work))
        self._decide(is_last=True)

    def _begin(self, size_px: tuple[int, int]) -> None:
        """Images have another size: what was seen before says nothing."""
        self._size_px = size_px
        self._work = self._sum = None
        self._begun_count = self._image_count = self._wait = 0

    def _add(self, found: EdgeCorrelation | None) -> None:
        self._work, self._wait = None, self._config.pause
        if found is not None:
            self._sum = found if self._sum is None else self._sum + found
            self._image_count += 1
            self._decide(is_last=False)

    def _decide(self, *, is_last: bool) -> None:
        """Tell an offset that is sure; a faint one of few images only where there will be no more."""
        if self._sum is None or self.remark is not None:
            return
        config, count = self._config, self._image_count
        offset = measure_offset(self._sum, count, config)
        if not is_last and count < config.least_images and offset.contrast < config.clear_contrast:
            return
        if is_sure(offset, self._image_count, self._config):
            height, width = self._size_px
            self.remark = (
                f"depth seems shifted against colour by about {offset.words} (images of {width}x{height}); poses are "
                "off by as much: align depth to colour"
            )
            _log.warning("%s", self.remark)
