"""The verifier's part in the loop of one object: its votes, and what it remembers; at once, or on a lane.

Without a lane everything is done where it is asked for. With one, a vote on a tracked pose and a crop to remember are
handed in with the frame they are of, done beside the tracking on buffers of their own, and heard at a later frame:
tracking never waits for them. One vote is under way at a time; while it is, further frames are not asked about.
Before an object is looked for, or begins anew, `settle` ends what is under way, so that no vote is about another
track than the present one, and whoever looks for the object has the verifier to itself.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.live.lanes.background import BackgroundLane, Ticket
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.verify.full_tom import TrackVerifier
from storm_edge.pipeline.verify.verifier import Verification

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VerificationResult:
    """What the verifier thinks of a tracked pose."""

    frame: int
    """The frame that it looked at."""
    verification: Verification
    """Both votes and their score."""


class VerificationLane:
    """Asks one verifier.

    Args:
        verifier: The verifier; None never has a vote.
        lane: Does the work beside the frames; None does it at once.
        device: Warp device name.
    """

    def __init__(self, verifier: TrackVerifier | None, lane: BackgroundLane | None, device: str) -> None:
        self._verifier, self._lane, self._device = verifier, lane, device
        self._tickets: list[Ticket[VerificationResult | None]] = []
        self._asked: Ticket[VerificationResult | None] | None = None
        self._buffers: FrameBuffers | None = None

    def verify(self, buffers: FrameBuffers, T_cam_centre: Float64) -> Verification | None:
        """A vote at once; None without a verifier or anything to compare with."""
        if self._verifier is None or not len(self._verifier):
            return None
        return self._verifier.verify(buffers, T_cam_centre)

    def ask(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> VerificationResult | None:
        """A vote on a tracked pose ``(4, 4)``; with a lane None, and `hear` has it later."""
        if self._lane is None:
            found = self.verify(buffers, T_cam_centre)
            return None if found is None else VerificationResult(frame=frame.index, verification=found)
        if self._verifier is not None and self._asked is None:
            self._asked = self._submit(self._vote(frame, T_cam_centre), "verify")
        return None

    def remember(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> None:
        """Have the crop at a pose that is believed kept."""
        if self._verifier is None:
            return
        if self._lane is None:
            self._verifier.remember(buffers, T_cam_centre)
        else:
            self._submit(self._remember(frame, T_cam_centre), "remember")

    def forget(self) -> None:
        """Empty the memory; nothing may be under way, see `settle`."""
        if self._verifier is not None:
            self._verifier.forget()

    def hear(self) -> VerificationResult | None:
        """A vote that came in since the last call; None where none did.

        Raises:
            Exception: What the work raised; nothing is under way then.
        """
        while self._tickets and self._tickets[0].over:
            ticket = self._tickets.pop(0)
            if ticket is self._asked:
                self._asked = None
            try:
                vote = ticket.answer()
            except Exception:
                self._cancel_all()  # whoever opens engines anew must have them to itself
                raise
            if vote is not None:
                return vote
        return None

    def settle(self) -> None:
        """End what is under way and drop votes that were not heard; returns when the verifier is free.

        Raises:
            RunFault: A chunk of it hangs.
            Exception: What the work raised; nothing is under way then.
        """
        for ticket in self._cancel_all():
            ticket.answer()

    def _cancel_all(self) -> list[Ticket[VerificationResult | None]]:
        tickets, self._tickets, self._asked = self._tickets, [], None
        for ticket in tickets:
            ticket.cancel()
        return tickets

    def _submit(
        self, work: Generator[str, None, VerificationResult | None], kind: str
    ) -> Ticket[VerificationResult | None]:
        assert self._lane is not None
        ticket = self._lane.submit(work, kind=kind, lane=Lane.VERIFY)
        self._tickets.append(ticket)
        return ticket

    def _vote(self, frame: Frame, T_cam_centre: Float64) -> Generator[str, None, VerificationResult | None]:
        found = self.verify(self._with(frame), T_cam_centre)
        return None if found is None else VerificationResult(frame=frame.index, verification=found)
        yield  # one chunk

    def _remember(self, frame: Frame, T_cam_centre: Float64) -> Generator[str, None, None]:
        assert self._verifier is not None
        self._verifier.remember(self._with(frame), T_cam_centre)
        return
        yield  # one chunk

    def _with(self, frame: Frame) -> FrameBuffers:
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers = FrameBuffers(*frame.size_px, self._device)
        self._buffers.upload(frame)
        return self._buffers
