"""One object of a `BatchedTracker` behind the contract that every tracker keeps (`pipeline.track.contract`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import InputError, mismatch
from storm_edge.frame import Frame
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.track.batched import BatchedTracker
from storm_edge.pipeline.track.contract import TrackStep

Float64 = NDArray[np.float64]


class BatchedMember:
    """A `Tracker` of one object. The member that is asked first about a frame has the step done for all of them.

    Args:
        tracker: Follows the object with others.
        index: Which of its objects.
    """

    def __init__(self, tracker: BatchedTracker, index: int = 0) -> None:
        self._tracker, self._index = tracker, index

    def start(self, frame: Frame, T_cam_centre: Float64) -> TrackStep:
        """See `Tracker.start`.

        Raises:
            FrameError: The frame has another size than the tracker's buffers.
        """
        return self._tracker.start(frame, T_cam_centre, self._index)

    def update(self, frame: Frame) -> TrackStep:
        """See `Tracker.update`.

        Raises:
            InputError: Nobody called `start`.
            FrameError: The frame has another size than the tracker's buffers.
        """
        step = self._tracker.step_of(frame, self._index)
        if step is None:
            remedy = "call start() with a registered pose"
            raise InputError(mismatch(f"object {self._index}", "no pose", "one to start from", remedy))
        return step

    @property
    def appearance(self) -> AppearanceModel:
        """See `Tracker.appearance`; it is used by the tracker's launches, on its stream."""
        return self._tracker.objects[self._index].appearance
