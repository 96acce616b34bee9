"""What all that checks a track on the way leaves to the tracker below it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.live.object_tracker import ObjectTracker
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.track.contract import FoundPose, SettledPose, TrackStep
from storm_edge.pipeline.track.stepwise import StepwiseTracker


class WrappedTrack:
    """Hands everything on; who checks a track overrides what it changes. See `ObjectTracker`.

    Args:
        tracker: Follows the object.
    """

    def __init__(self, tracker: ObjectTracker) -> None:
        self._tracker = tracker

    @property
    def catch_up_tracker(self) -> StepwiseTracker:
        """As the tracker's."""
        return self._tracker.catch_up_tracker

    @property
    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """As the tracker's."""
        return self._tracker.colour_log_odds

    @property
    def appearance(self) -> AppearanceModel:
        """As the tracker's."""
        return self._tracker.appearance

    @property
    def non_finite_count(self) -> int:
        """As the tracker's."""
        return self._tracker.non_finite_count

    def start(self, frame: Frame, T_cam_centre: NDArray[np.float64]) -> None:
        """As the tracker's."""
        self._tracker.start(frame, T_cam_centre)

    def restart(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: NDArray[np.float64]) -> None:
        """As the tracker's."""
        self._tracker.restart(frame, buffers, T_cam_centre)

    def update(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        """As the tracker's."""
        return self._tracker.update(frame, buffers)

    def doubt(self) -> None:
        """As the tracker's."""
        self._tracker.doubt()

    def settle(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> SettledPose:
        """As the tracker's."""
        return self._tracker.settle(frame, buffers, found)

    def drop(self) -> None:
        """As the tracker's."""
        self._tracker.drop()

    def leave(self) -> None:
        """As the tracker's."""
        self._tracker.leave()

    def resume(self) -> None:
        """As the tracker's."""
        self._tracker.resume()
