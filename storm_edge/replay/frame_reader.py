"""Frames of a recording, one by one: a bad one is one bad frame, which is passed over, counted and told.

An image that is missing or cut short, of another type or size, black, or without depth says nothing, and nothing is
lost with it but itself. The first of each kind is named on stderr. Only where no frame at all can be used is that an
error. Depth in another unit than metres is one, too, before any frame was sound: then the scale of the recording is
wrong, not the frame.
"""

from __future__ import annotations

import logging

from storm_edge.errors import DepthError, FrameError, SceneError, StormEdgeError, UnitError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.config import FrameGateConfig
from storm_edge.live.frame_gate import UNUSABLE, SkipReason, find_fault
from storm_edge.replay.scene import Scene

_log = logging.getLogger(__name__)

_REASONS: dict[type[StormEdgeError], SkipReason] = {
    SceneError: SkipReason.UNREADABLE,
    FrameError: SkipReason.WRONG_FORM,
    DepthError: SkipReason.NO_DEPTH,
    UnitError: SkipReason.WRONG_UNIT,
}


class FrameReader:
    """Reads the frames of a scene.

    Args:
        scene: The recording.
        config: What a frame must have.

    Attributes:
        used: Sound frames so far.
        counts: Frames that were passed over so far, by reason.
    """

    def __init__(self, scene: Scene, config: FrameGateConfig | None = None) -> None:
        self._scene, self._config = scene, config or FrameGateConfig()
        self._first: str | None = None
        self._untold: list[tuple[int, str]] = []
        self.used = 0
        self.counts: dict[SkipReason, int] = dict.fromkeys(UNUSABLE, 0)

    @property
    def report(self) -> dict[str, int]:
        """The counts as they stand in `summary.json`."""
        return {reason.key: count for reason, count in self.counts.items()}

    def read(self, frame_id: int) -> Frame | SkipReason:
        """A frame, or why it cannot be used.

        Raises:
            UnitError: Depth is not in metres, and no frame before was sound.
        """
        try:
            frame = self._scene.frame(frame_id)
        except (SceneError, FrameError, DepthError, UnitError) as error:
            if isinstance(error, UnitError) and not self.used:
                raise
            return self._pass_over(frame_id, _REASONS[type(error)], str(error))
        reason = find_fault(frame, self._config)
        if reason is not None:
            what = self._scene.image_name(frame_id)
            remedy = "check the camera"
            return self._pass_over(frame_id, reason, mismatch(what, reason.value, "a picture with depth", remedy))
        self.used += 1
        self._tell()
        return frame

    def check_used(self) -> None:
        """Refuse a recording of which nothing could be used.

        Raises:
            SceneError: Frames were read, and none was sound.
        """
        count = sum(self.counts.values())
        if count and not self.used:
            raise SceneError(f"{self._first}; none of {count} frames can be used")

    def _pass_over(self, frame_id: int, reason: SkipReason, message: str) -> SkipReason:
        if self._first is None:
            self._first = message
        if not self.counts[reason]:
            self._untold.append((frame_id, message))
        self.counts[reason] += 1
        if self.used:  # until then it may be the whole recording, which is told by an error
            self._tell()
        return reason

    def _tell(self) -> None:
        for frame_id, message in self._untold:
            _log.warning("frame %d is passed over, as others like it will be: %s", frame_id, message)
        self._untold.clear()
