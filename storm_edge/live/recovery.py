"""The search for one object without a pose, in chunks: local search, search of the image, registration, propagation.

Which of them is done when is decided by `state_machine`; here are the generators that do it. They run between the
frames, or on the background lane beside them (`lanes.recovery`), so that nothing here may be touched by others while
one is in progress. A pose that was found belongs to an old frame: the catch-up tracker propagates it over the frames
kept since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MaskError, UnitError
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig
from storm_edge.live.events import Event, MaskFound, NothingFound, PoseFound, PosePropagated
from storm_edge.live.kept_frames import KeptFrames
from storm_edge.live.lanes.recovery import Work
from storm_edge.live.object_tracker import ObjectTracker, TrackedPose
from storm_edge.live.shape_belief import ShapeBelief
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.config import SearchBudget
from storm_edge.pipeline.detect.detection import Detection, DetectionResult, TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.detect.taken_places import TakenPoses, is_same_place, least_extent_m, nothing_taken
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.local_search import local_search_mask
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Segmentation
from storm_edge.pipeline.track.contract import FoundPose, SettledPose, TrackStep
from storm_edge.pipeline.verify.verifier import Verification

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RecoveryStages:
    """What a recovery task searches with."""

    registrar: Registrar
    """Finds poses from masks."""
    tracker: ObjectTracker
    """Its catch-up tracker propagates poses."""
    detector: Detector | None
    """Searches the whole image; None finds nothing there."""
    verify: Callable[[FrameBuffers, Float64], Verification | None]
    """The verifier's scores of a pose ``(4, 4)``; None where it has none."""
    taken: TakenPoses = nothing_taken
    """Poses of other instances of the model in a frame."""
    belief: ShapeBelief | None = None
    """What the shape says where the model has no colours."""


class RecoveryTask:
    """Searches for one object.

    Args:
        item: The object; its device is used.
        stages: What it searches with.
        config: How; its parts ``reacquire`` and ``loop`` are used.

    Attributes:
        found: The frame and the pose ``(4, 4)`` that were found, or propagated to.
        propagated: The newest pose that was given, or propagated to.
        rejected_regions: What searches turned down since the object was tracked.
    """

    def __init__(self, item: ObjectOnDevice, stages: RecoveryStages, config: StormConfig) -> None:
        self.rejected_regions = RejectedRegions(config.reacquire.rejected_regions)
        self.found: tuple[Frame, Float64] | None = None
        self.propagated: TrackedPose | None = None
        self._diameter_m, self._device = item.diameter_m, item.device
        self._registrar, self._tracker = stages.registrar, stages.tracker
        self._detector, self._verify = stages.detector, stages.verify
        self._taken, self._least_extent_m = stages.taken, least_extent_m(item.bundle.mesh_lod)
        self._belief = stages.belief
        self._local_search = config.reacquire.local_search
        self._frames_per_chunk = config.session.frames_per_chunk
        self._frames = KeptFrames(config.session.kept_frames)
        self._buffers: FrameBuffers | None = None
        self._step: TrackStep | None = None  # of the catch-up tracker
        self._settled: SettledPose | None = None  # the pose that it began at
        self._catch_up_index: int | None = None  # the frame that it has come to
        self._candidates: tuple[ImageFeatures, Segmentation] | None = None
        # What led to what was found, and what is seen of it, which the shape proposes next.
        self._found_by: tuple[Frame, tuple[NDArray[np.bool_], ...]] | None = None
        self._detection: Detection | None = None  # what a search of the image found
        self._found_score: float | None = None  # of the geometry, in the frame where a search of the image found it

    def keep(self, frame: Frame) -> None:
        """One more frame without a pose."""
        self._frames.add(frame)

    def start_at(self, frame: Frame, buffers: FrameBuffers, pose: SettledPose) -> TrackStep:
        """How well a pose fits that was given from outside."""
        step = self._tracker.catch_up_tracker.start(buffers, pose.T_cam_centre)
        self._step = replace(step, ambiguous=pose.ambiguous)
        self.found = frame, pose.T_cam_centre
        if self._belief is not None:
            self._belief.given()
        self.propagated = TrackedPose(frame=frame, buffers=buffers, step=self._step)
        return self._step

    def clear(self) -> None:
        """What was found is tracked now: forget it."""
        self._frames.clear()
        self.rejected_regions.clear()
        self.found, self._catch_up_index, self._detection, self._found_by = None, None, None, None

    def search_locally(self, attempt: int, track_prior: TrackPrior | None) -> Work:
        """Registration of what has the object's colours around the last trusted pose."""
        frame = self._newest()
        buffers = self._upload(frame)
        if track_prior is None or track_prior.colour_log_odds is None:
            return NothingFound(attempt=attempt)
        place, odds = track_prior.T_cam_centre, track_prior.colour_log_odds
        mask = local_search_mask(buffers, odds, place, self._diameter_m, config=self._local_search)
        yield "mask"
        if mask is None:
            return NothingFound(attempt=attempt)
        if self._detector is not None:
            search = yield from self._detector.register_mask(frame, buffers, mask, track_prior=track_prior)
            return self._answer(attempt, frame, search)
        try:
            found = yield from self._registrar.chunks(buffers, mask, near=place)
        except (MaskError, UnitError):  # a blob that cannot be the object is no error of the user's
            return NothingFound(attempt=attempt)
        self.found, self._catch_up_index, self._detection = (frame, found.T_cam_centre), None, None
        return PoseFound(attempt=attempt, frame=frame.index, score=float(np.clip(found.visible, 0.0, 1.0)))

    def search_image(self, attempt: int, track_prior: TrackPrior | None) -> Work:
        """Candidate masks of the object in the whole image."""
        self._candidates = None
        if self._found_by is not None:  # found, and not accepted when it was propagated
            frame, masks = self._found_by
            for mask in masks:
                self.rejected_regions.add(frame, mask)
            self._found_by = None
        if self._detector is None:
            return NothingFound(attempt=attempt)
        frame = self._newest()
        self._candidates = yield from self._detector.segment(frame, track_prior)
        return MaskFound(attempt=attempt, frame=frame.index)

    def register_candidates(self, attempt: int, track_prior: TrackPrior | None, budget: SearchBudget) -> Work:
        """Registration of those candidates, and which of them is the object, if any."""
        assert self._detector is not None
        assert self._candidates is not None
        image, segmentation = self._candidates
        buffers = self._upload(image.frame)
        search = yield from self._detector.register_candidates(
            image, segmentation, buffers, track_prior=track_prior, budget=budget
        )
        return self._answer(attempt, image.frame, search)

    def propagate(self, attempt: int) -> Work:
        """The catch-up tracker follows the found pose over the kept frames to the newest one."""
        if self.found is None:
            return NothingFound(attempt=attempt)
        frame, T = self.found
        tracker = self._tracker.catch_up_tracker
        buffers = self._upload(frame)
        if self._catch_up_index != frame.index:
            self._settled = self._tracker.settle(frame, buffers, FoundPose(T_cam_centre=T))
            self._step = tracker.start(buffers, self._settled.T_cam_centre)
            self._found_score = None if self._found_by is None else self._step.confidence
        count = 0
        while (newer := self._frames.next_after(frame)) is not None:
            frame = newer
            buffers = self._upload(frame)
            self._step = tracker.update(buffers)
            count += 1
            if count % self._frames_per_chunk == 0:
                yield "frames"
        assert self._step is not None
        assert self._settled is not None
        step = replace(self._step, ambiguous=self._settled.ambiguous)
        if any(is_same_place(step.T_cam_centre, other, self._least_extent_m) for other in self._taken(frame)):
            return NothingFound(attempt=attempt)
        self.found, self._catch_up_index = (frame, step.T_cam_centre), frame.index
        self.propagated = TrackedPose(frame=frame, buffers=buffers, step=step)
        verified = self._verify(buffers, step.T_cam_centre)
        score = step.confidence
        if self._belief is not None:  # without colours more is asked of the shape
            score = min(score, self._belief.found(frame, step.T_cam_centre, self._detection))
        return PosePropagated(
            attempt=attempt,
            frame=frame.index,
            score=score,
            network_score=None if verified is None or verified.is_non_finite else verified.score,
            kept_share=self._kept_share(step.confidence),
            is_side_doubted=self._settled.is_side_doubted,
            is_unverified=verified is not None and verified.is_non_finite,
            is_non_finite=step.is_non_finite or (verified is not None and verified.is_non_finite),
        )

    def _newest(self) -> Frame:
        """The frame to search in; what is found there is propagated over those after it."""
        frame = self._frames.newest
        self._frames.begin_at(frame)
        return frame

    def _kept_share(self, score: float) -> float | None:
        """A geometric score over that where a search of the image found the pose; None where none did."""
        return None if not self._found_score else score / self._found_score

    def _answer(self, attempt: int, frame: Frame, search: DetectionResult) -> Event:
        if search.found is None:
            return NothingFound(attempt=attempt)
        self.found, self._catch_up_index = (frame, search.found.T_cam_centre), None
        self._detection = search.found
        self._found_by = frame, (search.found.candidate.mask, search.found.mask)
        return PoseFound(attempt=attempt, frame=frame.index, score=search.found.presence_probability)

    def _upload(self, frame: Frame) -> FrameBuffers:
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers = FrameBuffers(*frame.size_px, self._device)
        self._buffers.upload(frame)
        return self._buffers
