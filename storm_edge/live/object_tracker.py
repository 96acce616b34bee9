"""What tracks one object from frame to frame: by itself, or in a batch with others (`batched_group`).

Beside the tracker that follows the object there is a second one, the catch-up tracker. It propagates a pose that was
found in an old frame to the newest one. When that pose is accepted the object is tracked from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.track.contract import FoundPose, SettledPose, TrackStep
from storm_edge.pipeline.track.stepwise import StepwiseTracker

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrackedPose:
    """A pose that a tracker came to."""

    frame: Frame
    """The frame that it is of."""
    buffers: FrameBuffers
    """The same frame on the device."""
    step: TrackStep
    """The pose, and how well it fits."""

    @property
    def T_cam_centre(self) -> Float64:
        """Object centre to camera [m], shape ``(4, 4)``."""
        return self.step.T_cam_centre


class ObjectTracker(Protocol):
    """Tracks one object."""

    @property
    def catch_up_tracker(self) -> StepwiseTracker:
        """Propagates poses; it may be another one after `start`."""

    @property
    def colour_log_odds(self) -> Float32 | None:
        """What was learned of the object's colours, see `local_search.local_search_mask`; None before the start."""

    @property
    def non_finite_count(self) -> int:
        """Answers of networks of its own that were not finite."""

    def start(self, frame: Frame, T_cam_centre: Float64) -> None:
        """Track from a pose ``(4, 4)`` that the catch-up tracker came to in this frame."""

    def update(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        """The pose in the next frame, which is in ``buffers``."""

    @property
    def appearance(self) -> AppearanceModel:
        """What is known of the object's colours and of the exposure; it is read, not changed."""

    def restart(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> None:
        """Go on from another pose ``(4, 4)`` in the frame that was tracked last, and learn the appearance there."""

    def doubt(self) -> None:
        """Frames are missing before the next one: the object may be anywhere near."""

    def settle(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> SettledPose:
        """What was found in this frame, on its right side; nothing is tracked meanwhile."""

    def drop(self) -> None:
        """The object is lost."""

    def leave(self) -> None:
        """Track it no longer; it may come back."""

    def resume(self) -> None:
        """Track it again."""


class StepwiseTrack:
    """Tracks an object by itself; see `ObjectTracker`.

    Args:
        tracker: Follows the object.
        catch_up_tracker: Propagates poses. At `start` the two change places: the one that came to the pose has
            learned the object's colours on the way.

    They change places, where the one could copy the other's appearance (`AppearanceModel.copy_from`): a tracker is
    more than that. It has the residual baseline, the phase of its probes of turned poses, and what an update that
    sees too few pixels leaves of older colours; all of it goes along, so the poses are the same bit by bit.
    """

    def __init__(self, tracker: StepwiseTracker, catch_up_tracker: StepwiseTracker) -> None:
        self._tracker, self._catch_up_tracker = tracker, catch_up_tracker

    @property
    def catch_up_tracker(self) -> StepwiseTracker:
        """Propagates poses; another one after `start`."""
        return self._catch_up_tracker

    @property
    def colour_log_odds(self) -> Float32 | None:
        """What the tracker that follows the object learned of its colours; None before the start."""
        return self._tracker.colour_log_odds()

    @property
    def non_finite_count(self) -> int:
        """None: RefineNet counts its own answers, for both trackers."""
        return 0

    def start(self, frame: Frame, T_cam_centre: Float64) -> None:
        """Track with what was the catch-up tracker until now; it has come to this pose ``(4, 4)``."""
        self._tracker, self._catch_up_tracker = self._catch_up_tracker, self._tracker

    def update(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        """The pose in the next frame."""
        return self._tracker.update(buffers)

    @property
    def appearance(self) -> AppearanceModel:
        """See `ObjectTracker.appearance`."""
        return self._tracker.appearance

    def restart(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> None:
        """Go on from another pose ``(4, 4)`` in the frame that was tracked last."""
        self._tracker.start(buffers, T_cam_centre)

    def doubt(self) -> None:
        """Nothing is to be done: it begins at the last pose in any case."""

    def settle(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> SettledPose:
        """As it is: nobody knows sides here."""
        return SettledPose(T_cam_centre=found.T_cam_centre)

    def drop(self) -> None:
        """Nothing is to be done: the colours are kept where they are."""

    def leave(self) -> None:
        """Nothing is to be done."""

    def resume(self) -> None:
        """Nothing is to be done."""
