"""The verifier's part in tracking one object: its scores, and the crops it remembers; at once, or on a lane.

Without a lane everything is done where it is asked for. With one, the scoring of a tracked pose and a crop to
remember are submitted with their frame, done beside the tracking on buffers of their own, and collected at a later
frame: tracking never waits for them. One scoring is in progress at a time; meanwhile further frames are not scored.
Before an object is searched for, or starts anew, `settle` ends what is in progress, so that no score is about another
track than the present one, and the recovery has the verifier to itself.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.live.lanes.background import BackgroundLane, LaneFuture
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.track.contract import TrackStep
from storm_edge.pipeline.verify.verifier import Verification, Verifier

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VerificationResult:
    """What the verifier says of a tracked pose."""

    frame: int
    """The frame of the pose."""
    verification: Verification
    """Its scores."""


class VerificationLane:
    """Asks one verifier.

    Args:
        verifier: The verifier; None never scores anything.
        lane: Does the work beside the frames; None does it at once.
        device: Warp device name.
    """

    def __init__(self, verifier: Verifier | None, lane: BackgroundLane | None, device: str) -> None:
        self._verifier, self._lane, self._device = verifier, lane, device
        self._futures: list[LaneFuture[VerificationResult | None]] = []
        self._scoring: LaneFuture[VerificationResult | None] | None = None
        self._buffers: FrameBuffers | None = None

    @property
    def non_finite_count(self) -> int:
        """Answers of the network so far that were not finite."""
        return 0 if self._verifier is None else self._verifier.non_finite_count

    def verify(
        self, buffers: FrameBuffers, T_cam_centre: Float64, visible: float | None = None
    ) -> Verification | None:
        """The scores of a pose, at once; None without a verifier or anything to compare with. Arguments as
        `Verifier.verify`."""
        if self._verifier is None or not len(self._verifier):
            return None
        return self._verifier.verify(buffers, T_cam_centre, visible)

    def request(self, frame: Frame, buffers: FrameBuffers, step: TrackStep) -> VerificationResult | None:
        """Score the pose of a step; with a lane the result is None here, and `collect` returns it later."""
        if self._lane is None:
            found = self.verify(buffers, step.T_cam_centre, step.visible)
            return None if found is None else VerificationResult(frame=frame.index, verification=found)
        if self._verifier is not None and self._scoring is None:
            self._scoring = self._submit(self._verify(frame, step), "verify")
        return None

    def remember(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> None:
        """Have the crop at a trusted pose ``(4, 4)`` kept."""
        if self._verifier is None:
            return
        if self._lane is None:
            self._verifier.remember(buffers, T_cam_centre)
        else:
            self._submit(self._remember(frame, T_cam_centre), "remember")

    def forget(self) -> None:
        """Forget all crops; nothing may be in progress, see `settle`."""
        if self._verifier is not None:
            self._verifier.forget()

    def collect(self) -> VerificationResult | None:
        """A result that came in since the last call; None where none did.

        Raises:
            Exception: What the work raised; nothing is in progress then.
        """
        while self._futures and self._futures[0].done():
            future = self._futures.pop(0)
            if future is self._scoring:
                self._scoring = None
            try:
                result = future.result()
            except Exception:
                self._cancel_all()  # engines are opened anew by one thread while no other uses them
                raise
            if result is not None:
                return result
        return None

    def settle(self) -> None:
        """End what is in progress and drop results that were not collected; the verifier is free afterwards.

        Raises:
            RunFault: A chunk of it hangs.
            Exception: What the work raised; nothing is in progress then.
        """
        for future in self._cancel_all():
            future.result()

    def _cancel_all(self) -> list[LaneFuture[VerificationResult | None]]:
        futures, self._futures, self._scoring = self._futures, [], None
        for future in futures:
            future.cancel()
        return futures

    def _submit(
        self, work: Generator[str, None, VerificationResult | None], kind: str
    ) -> LaneFuture[VerificationResult | None]:
        assert self._lane is not None
        future = self._lane.submit(work, kind=kind, lane=Lane.VERIFY)
        self._futures.append(future)
        return future

    def _verify(self, frame: Frame, step: TrackStep) -> Generator[str, None, VerificationResult | None]:
        found = self.verify(self._upload(frame), step.T_cam_centre, step.visible)
        return None if found is None else VerificationResult(frame=frame.index, verification=found)
        yield  # one chunk

    def _remember(self, frame: Frame, T_cam_centre: Float64) -> Generator[str, None, None]:
        assert self._verifier is not None
        self._verifier.remember(self._upload(frame), T_cam_centre)
        return
        yield  # one chunk

    def _upload(self, frame: Frame) -> FrameBuffers:
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers = FrameBuffers(*frame.size_px, self._device)
        self._buffers.upload(frame)
        return self._buffers
