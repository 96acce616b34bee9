"""The side of a track in the live loop: when it is asked for, and what becomes of the answer.

A track is asked now and then, more often after its start and after it turned (`pipeline.side.check`). What the
evidence contradicts is corrected at once: the track begins anew at the better turn, and is asked again there. What it
contradicts without a better pose is doubted. What it cannot tell is reported.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.live.object_tracker import ObjectTracker
from storm_edge.live.wrapped_track import WrappedTrack
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.side.check import SideAnswer, SideCheck
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.rivals import turn_deg
from storm_edge.pipeline.side.settling import Settling
from storm_edge.pipeline.track.contract import FoundPose, SettledPose, TrackStep

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class SideCheckedTrack(WrappedTrack):
    """Tracks an object and knows its side; see `ObjectTracker`.

    Args:
        tracker: Follows the object.
        check: Of the same object.
        settling: Of the same object.
        config: When the side is asked for.
    """

    def __init__(self, tracker: ObjectTracker, check: SideCheck, settling: Settling, config: SideConfig) -> None:
        super().__init__(tracker)
        self._check, self._settling, self._config = check, settling, config
        self._last: Float64 | None = None
        self._asked_at: Float64 | None = None
        self._is_near_due = self._has_fallen = self._has_fallen_far = False
        self._usual_confidence: float | None = None
        self._step_count = self._hasty_until = self._asked = self._seen = 0

    def start(self, frame: Frame, T_cam_centre: Float64) -> None:
        """As the tracker's; the side is asked for in the next frames."""
        self._check.forget()
        self._last, self._asked_at, self._usual_confidence = T_cam_centre, None, None
        self._hasty_until = self._step_count + self._config.hasty_frames
        self._tracker.start(frame, T_cam_centre)

    def doubt(self) -> None:
        """As the tracker's; the side is asked for at once, and again when the pose has settled."""
        self._check.interrupt()
        self._asked_at = None
        self._hasty_until = self._step_count + self._config.hasty_frames + self._config.hasty_every
        super().doubt()

    def update(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        """The pose in the next frame, turned to the side that the evidence is for."""
        step = self._tracker.update(frame, buffers)
        self._step_count += 1
        config, check = self._config, self._check
        turned_deg = _turned_deg(self._last, step)
        if turned_deg > config.fast_deg:
            self._hasty_until = self._step_count + config.hasty_frames
            check.interrupt()
        self._compare_with_usual(step)
        is_lively = turned_deg > config.lively_deg or self._has_gone_far(step)
        self._is_near_due = self._has_fallen or is_lively or self._is_near_due
        self._last = step.T_cam_centre
        if step.is_non_finite or step.confidence < config.least_confidence or not check.has_questions:
            return step
        is_whole = self._is_time_for_all(step)
        if check.is_hearing or is_whole or self._is_time_for_near():
            self._seen, self._is_near_due = self._step_count, False
            answer = self._look(frame, buffers, step, is_whole)
            step = replace(self._answered(step, answer), is_side_asked=True)
            if step.T_cam_centre is not self._last:
                self._tracker.restart(frame, buffers, step.T_cam_centre)
                self._last, self._asked_at = step.T_cam_centre, None
                self._hasty_until = self._step_count + config.hasty_frames
        return replace(step, ambiguous=check.ambiguity)

    def _look(self, frame: Frame, buffers: FrameBuffers, step: TrackStep, is_whole: bool) -> SideAnswer:
        """Hear rivals where some wait, otherwise compare turns: the whole fan, or the nearest alone."""
        hear_nearest = False
        if not self._check.is_hearing:
            hear_nearest, self._has_fallen = self._has_fallen, False
            if is_whole:
                self._asked, self._asked_at = self._step_count, step.T_cam_centre
        return self._check.look(
            frame, buffers, step.T_cam_centre, self.appearance, near_only=not is_whole, hear_nearest=hear_nearest
        )

    def _is_time_for_all(self, step: TrackStep) -> bool:
        """Whether to compare the whole fan in this frame."""
        config, since = self._config, self._step_count - self._asked
        is_calm = self._step_count > self._hasty_until and self._asked_at is not None
        is_calm = is_calm and _turned_deg(self._asked_at, step) <= config.turned_deg
        return self._check.is_new or since >= (config.every if is_calm else config.hasty_every)

    def _is_time_for_near(self) -> bool:
        """Whether to compare the nearest turns alone: the track was lively or less sure since the last look."""
        is_due = self._is_near_due and self._check.has_near_turns
        return is_due and (self._has_fallen_far or self._step_count - self._seen >= self._config.near_every)

    def _has_gone_far(self, step: TrackStep) -> bool:
        """Whether the track went far in this step, beside its turn."""
        if self._last is None:
            return False
        now_m = step.T_cam_centre[:3, 3].tolist()
        return math.dist(now_m, self._last[:3, 3].tolist()) > self._config.lively_share * float(now_m[2])

    def _compare_with_usual(self, step: TrackStep) -> None:
        """Note whether the confidence of a step is less than usual, of which it becomes a part."""
        usual, config = self._usual_confidence, self._config
        newest_weight = 1.0 if usual is None else config.usual_weight
        self._usual_confidence = newest_weight * step.confidence + (1.0 - newest_weight) * (usual or 0.0)
        share = 1.0 if usual is None else step.confidence / max(usual, config.least_confidence)
        self._has_fallen = self._has_fallen or share < config.fallen_share
        self._has_fallen_far = share < config.far_fallen_share

    def _answered(self, step: TrackStep, answer: SideAnswer) -> TrackStep:
        """A step after what a look said."""
        if answer.T_cam_centre_better is not None:
            step = replace(step, T_cam_centre=answer.T_cam_centre_better, visible=None)
        if answer.is_doubted:
            confidence = min(step.confidence, self._config.doubted_confidence)
            step = replace(step, confidence=confidence, is_side_doubted=True)
        return step

    def settle(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> SettledPose:
        """The side that the evidence of this frame is for."""
        return self._settling.settle(frame, buffers, found)


def _turned_deg(T_cam_centre: Float64 | None, step: TrackStep) -> float:
    """By how much a step is turned against a pose ``(4, 4)`` [deg]; 0 where there is none."""
    return 0.0 if T_cam_centre is None else turn_deg(step.T_cam_centre, T_cam_centre)
