"""The work of looking for one object, in chunks: around its last place, in the whole image, and forward to now.

What is done when is the matter of `machine` and `object_loop`; here are the generators that do it. They run between
the frames, or on the thread of a lane beside them, so that nothing here may be touched by others while one is under
way. A pose that was found belongs to an old frame: a tracker of its own, the scout, takes it forward over the frames
kept since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MaskError, UnitError
from storm_edge.frame import Frame
from storm_edge.live.events import Event, MaskFound, NothingFound, PoseFound, PosePropagated
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.config import SearchBudget
from storm_edge.pipeline.detect.detection import DetectionResult as Searched
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.config import ReacquireConfig
from storm_edge.pipeline.reacquire.local_search import local_search_mask
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Segmentation
from storm_edge.pipeline.track.stepwise import StepwiseTracker, TrackStep
from storm_edge.pipeline.verify.verifier import Verification

Float64 = NDArray[np.float64]
Work = Generator[str | None, None, Event]
"""Yields the kind of chunk that it did."""
Vote = Callable[[FrameBuffers, Float64], Verification | None]


class RecoveryTask:
    """Looks for one object.

    Args:
        item: The object; its device is used.
        registrar: Finds poses from masks.
        catch_up_tracker: Takes poses forward; whoever begins to follow with it must leave another one here.
        detector: Searches the whole image; None finds nothing there.
        vote: The verifier's vote on a pose; None where it has none.
        reacquire: How a lost object is searched for around its last pose, and what is left out.
        frames_per_chunk: Frames that the scout follows in one chunk.
        kept_frames: Frames kept for it.

    Attributes:
        catch_up_tracker: As given.
        found: The frame and the pose ``(4, 4)`` that were found, or come to.
        step: What the scout said of it.
        at_hand: The same frame on the device, and the pose.
        rejected_regions: What searches turned down since it was followed.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        registrar: Registrar,
        catch_up_tracker: StepwiseTracker,
        *,
        detector: Detector | None,
        vote: Vote,
        reacquire: ReacquireConfig,
        frames_per_chunk: int,
        kept_frames: int,
    ) -> None:
        self.catch_up_tracker = catch_up_tracker
        self.rejected_regions = RejectedRegions(reacquire.rejected_regions)
        self.found: tuple[Frame, Float64] | None = None
        self.step: TrackStep | None = None
        self.at_hand: tuple[FrameBuffers, Float64] | None = None
        self._diameter_m, self._registrar, self._detector, self._vote = item.diameter_m, registrar, detector, vote
        self._local_search, self._frames_per_chunk, self._device = (
            reacquire.local_search,
            frames_per_chunk,
            item.device,
        )
        self._kept: deque[Frame] = deque(maxlen=kept_frames)
        self._buffers: FrameBuffers | None = None
        self._catch_up_index: int | None = None
        self._masks: tuple[ImageFeatures, Segmentation] | None = None
        self._led_by: tuple[Frame, NDArray[np.bool_]] | None = None  # the mask that led to what was found

    def keep(self, frame: Frame) -> None:
        """One more frame without a pose."""
        self._kept.append(frame)

    def given(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> TrackStep:
        """A pose ``(4, 4)`` that somebody knows: what the scout says of it."""
        self.step = self.catch_up_tracker.start(buffers, T_cam_centre)
        self.found, self.at_hand = (frame, T_cam_centre), (buffers, T_cam_centre)
        return self.step

    def begun(self) -> None:
        """What was found is followed now: forget it."""
        self._kept.clear()
        self.rejected_regions.clear()
        self.found, self._catch_up_index, self._led_by = None, None, None

    def search_locally(self, attempt: int, track_prior: TrackPrior | None) -> Work:
        """Registration of what has the object's colours around the last trusted pose."""
        frame = self._kept[-1]
        buffers = self._buffers_with(frame)
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
        self.found, self._catch_up_index = (frame, found.T_cam_centre), None
        return PoseFound(attempt=attempt, frame=frame.index, score=float(np.clip(found.visible, 0.0, 1.0)))

    def search(self, attempt: int, track_prior: TrackPrior | None) -> Work:
        """Masks of the object in the whole image; without any, what stands out there is registered."""
        self._masks = None
        if self._led_by is not None:  # found, but not believed when it was taken forward
            self.rejected_regions.add(*self._led_by)
            self._led_by = None
        if self._detector is None:
            return NothingFound(attempt=attempt)
        frame = self._kept[-1]
        self._masks = yield from self._detector.segment(frame, track_prior)
        return MaskFound(attempt=attempt, frame=frame.index)

    def register_candidates(self, attempt: int, track_prior: TrackPrior | None, budget: SearchBudget) -> Work:
        """Registration of those masks, and the verdict which of them is the object, if any."""
        assert self._detector is not None
        assert self._masks is not None
        image, segmentation = self._masks
        buffers = self._buffers_with(image.frame)
        search = yield from self._detector.register_candidates(
            image, segmentation, buffers, track_prior=track_prior, budget=budget
        )
        return self._answer(attempt, image.frame, search)

    def propagate(self, attempt: int) -> Work:
        """The scout follows the found pose over the kept frames to the newest."""
        if self.found is None:
            return NothingFound(attempt=attempt)
        # After a search longer than what is kept the first step is a large one; the judgement tells if too large.
        frame, T = self.found
        buffers = self._buffers_with(frame)
        if self._catch_up_index != frame.index:
            self.step = self.catch_up_tracker.start(buffers, T)
        count = 0
        while (ahead := next((kept for kept in tuple(self._kept) if kept.index > frame.index), None)) is not None:
            frame = ahead
            buffers = self._buffers_with(frame)
            self.step = self.catch_up_tracker.update(buffers)
            count += 1
            if count % self._frames_per_chunk == 0:
                yield "frames"
        assert self.step is not None
        self.found, self._catch_up_index = (frame, self.step.T_cam_centre), frame.index
        self.at_hand = (buffers, self.step.T_cam_centre)
        votes = self._vote(*self.at_hand)
        return PosePropagated(
            attempt=attempt,
            frame=frame.index,
            score=self.step.confidence,
            network_score=None if votes is None or votes.is_non_finite else votes.score,
            is_non_finite=self.step.is_non_finite or (votes is not None and votes.is_non_finite),
        )

    def _answer(self, attempt: int, frame: Frame, search: Searched) -> Event:
        if search.found is None:
            return NothingFound(attempt=attempt)
        self.found, self._catch_up_index = (frame, search.found.T_cam_centre), None
        self._led_by = frame, search.found.candidate.mask
        return PoseFound(attempt=attempt, frame=frame.index, score=search.found.presence_probability)

    def _buffers_with(self, frame: Frame) -> FrameBuffers:
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers = FrameBuffers(*frame.size_px, self._device)
        self._buffers.upload(frame)
        return self._buffers
