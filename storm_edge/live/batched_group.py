"""Objects that are tracked together: one step of `pipeline.track.batched` per frame, done for the first that asks.

Every object has a `BatchedTrack`. The first that asks for its object's pose in a frame has the step done for all that
have a pose; the others find their poses there. A track whose object is lost, or not found yet, is skipped. Where a
track starts is only noted (`BatchedTrack.start`); the step of the next frame starts it before anything else, so that
the device is used in one place alone, and what fails there is a fault of the track lane.

Objects are added and removed between frames, a camera changes its size, engines are opened anew after a fault: then
the buffers and launches are made again around the same objects, whose poses and colours stay.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import TrackerKind
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.errors import ConfigError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.engine_recovery import ReopenableNetworks
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.batched import BatchedReport, BatchedTracker, make_object
from storm_edge.pipeline.track.batched_object import BatchedObject
from storm_edge.pipeline.track.config import BatchedTrackConfig, StepwiseTrackConfig
from storm_edge.pipeline.track.contract import FoundPose, SettledPose, TrackStep
from storm_edge.pipeline.track.stepwise import StepwiseTracker

Float64 = NDArray[np.float64]


class BatchedGroup:
    """The objects of one camera; not to be shared between threads.

    Args:
        networks: Bundle with RefineNet, or None to track by geometry alone.
        config: The schedule of a step.
        fallback: How the stepwise tracker treats frames that the step is not sure of.
        device: Warp device name.
        options: Where and how RefineNet runs; its ``stream`` is the one of all steps, made here if not given.
    """

    def __init__(
        self,
        networks: NetworkBundle | None,
        *,
        config: BatchedTrackConfig | None = None,
        fallback: StepwiseTrackConfig | None = None,
        device: str = "cpu",
        options: EngineOptions | None = None,
    ) -> None:
        self._config = config or BatchedTrackConfig()
        if networks is None or "refine" not in networks.networks:
            self._networks = None
        else:
            self._networks = ReopenableNetworks.around(networks)
        self._fallback = fallback or StepwiseTrackConfig()
        self._options = options or EngineOptions(device=device)
        self._stream: Any = self._options.stream
        self._engine: Engine | None = None
        self._slots: list[BatchedTrack] = []
        self._tracks: BatchedTracker | None = None
        self._report: BatchedReport | None = None
        self._written: Frame | None = None
        self._stepped: Frame | None = None
        self._steps: dict[BatchedTrack, TrackStep] = {}
        self._fallback_count_of_others = 0
        self.spent_ms = self.share_ms = 0.0

    @property
    def report(self) -> dict[str, object]:
        """How steps are run, for reports; JSON types."""
        count = self._fallback_count_of_others + sum(slot.item.fallback_count for slot in self._slots)
        found: dict[str, object] = {"kind": TrackerKind.BATCHED.value, "fallback_count": count}
        report = self._report
        if report is None:
            return found | {"launches": "none: there was no frame"}
        return found | {
            "launches": report.launches,
            "uploads": report.uploads,
            "network_iterations": report.network_iterations,
            "hypotheses": report.hypothesis_count,
        }

    def join(
        self, item: ObjectOnDevice, network: PoseRefiner | None, catch_up_tracker: StepwiseTracker
    ) -> BatchedTrack:
        """A place for one more object; ``network`` is for its fallback."""
        followed = make_object(
            item,
            self._config,
            self._networks,
            fallback=self._fallback if self._fallback.moved_by == "geometry" else None,  # or it would say the same
            network=network,
        )
        return BatchedTrack(self, followed, catch_up_tracker)

    def show(self, frame: Frame, *, is_read: bool) -> FrameBuffers:
        """The buffers of the step with a picture in them.

        Args:
            frame: The image.
            is_read: Whether somebody reads them before the step; then they are sent to the device as well.
        """
        tracks = self._tracks_for(frame)
        self._written = frame
        tracks.show(frame, is_sent=is_read)
        return tracks.frame

    def reopen(self) -> None:
        """Open the engine anew, and make buffers and launches again at the next frame."""
        self._tracks = self._written = self._stepped = None
        if self._networks is not None:
            self._networks.reopen()

    def enter(self, slot: BatchedTrack) -> None:
        """Track an object from the next frame on."""
        if slot not in self._slots:
            self._slots.append(slot)
            self._tracks = self._written = self._stepped = None

    def leave(self, slot: BatchedTrack) -> None:
        """Track an object no longer."""
        if slot in self._slots:
            self._slots.remove(slot)
            self._fallback_count_of_others += slot.item.fallback_count
            self._steps.pop(slot, None)
            self._tracks = self._written = self._stepped = None

    def colours_of(self, slot: BatchedTrack) -> NDArray[np.float32] | None:
        """What was learned of an object's colours; None before it began."""
        if self._tracks is None or slot not in self._slots:
            return slot.item.colour_log_odds()
        return self._tracks.colour_log_odds(self._slots.index(slot))

    def step_of(self, slot: BatchedTrack, frame: Frame) -> TrackStep:
        """The pose of an object in a frame; done for all objects that have one when the first is asked for."""
        if self._stepped is not frame:
            began = time.perf_counter()
            self._step(frame)
            spent_ms = (time.perf_counter() - began) * 1e3
            self.spent_ms += spent_ms
            self.share_ms = spent_ms / len(self._steps)
            self._stepped = frame
        return self._steps[slot]

    def _step(self, frame: Frame) -> None:
        tracks = self._tracks_for(frame)
        is_written = self._written is frame
        for index, slot in enumerate(self._slots):
            if slot.start_from is not None:
                began_at, T = slot.start_from
                tracks = self._tracks_for(began_at)
                tracks.start(began_at, T, index)
                slot.start_from = None
                is_written = False
        if tracks.frame.size_px != frame.size_px:
            tracks = self._tracks_for(frame)
        steps = tracks.update(frame, is_written=is_written)
        self._steps = {slot: step for slot, step in zip(self._slots, steps, strict=True) if step is not None}

    def _tracks_for(self, frame: Frame) -> BatchedTracker:
        """Buffers of the frame's size, with all slots in them."""
        if self._tracks is None or self._tracks.frame.size_px != frame.size_px:
            if self._networks is not None and self._engine is None and self._config.network_iterations > 0:
                self._engine = self._networks.open("refine", self._options)
            self._tracks = BatchedTracker(
                [slot.item for slot in self._slots],
                self._networks,
                size_px=frame.size_px,
                config=self._config,
                engine=self._engine,
                stream=self._stream,
            )
            self._report = self._tracks.report
            self._written = None
        return self._tracks


class BatchedTrack:
    """One object's place in a group, see `object_tracker.ObjectTracker`; made by `BatchedGroup.join`.

    Attributes:
        item: What is known of the object.
        start_from: Frame and pose that it is to be started at, noted for the next step.
    """

    def __init__(self, group: BatchedGroup, item: BatchedObject, catch_up_tracker: StepwiseTracker) -> None:
        self.item = item
        self.start_from: tuple[Frame, Float64] | None = None
        self._group = group
        self._catch_up_tracker = catch_up_tracker
        self._colours: NDArray[np.float32] | None = None
        group.enter(self)

    @property
    def catch_up_tracker(self) -> StepwiseTracker:
        """Propagates poses; always the same one."""
        return self._catch_up_tracker

    @property
    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What was known of the object's colours when it was lost; None before."""
        return self._colours

    @property
    def non_finite_count(self) -> int:
        """Answers of RefineNet in the common step that were not finite."""
        return self.item.non_finite_count

    def start(self, frame: Frame, T_cam_centre: Float64) -> None:
        """Track it from this pose ``(4, 4)`` of this frame, beginning with the next frame."""
        self.start_from = frame, T_cam_centre

    def update(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        """The pose in this frame; ``buffers`` are those of the group."""
        return self._group.step_of(self, frame)

    @property
    def appearance(self) -> AppearanceModel:
        """See `ObjectTracker.appearance`."""
        return self.item.appearance

    def restart(self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64) -> None:
        """Go on from another pose ``(4, 4)``, beginning with the next frame."""
        self.start_from = frame, T_cam_centre

    def doubt(self) -> None:
        """Nothing is to be done: a step begins at the last pose in any case."""

    def settle(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> SettledPose:
        """As it is: nobody knows sides here."""
        return SettledPose(T_cam_centre=found.T_cam_centre)

    def drop(self) -> None:
        """The object is lost. The colours are read now: a search on another thread must not ask the device."""
        self._colours = self._group.colours_of(self)
        self.start_from = None
        self.item.pause()

    def leave(self) -> None:
        """Track it no longer. It keeps its pose and may come back."""
        self._group.leave(self)

    def resume(self) -> None:
        """Track it again."""
        self._group.enter(self)


def common_group(groups: list[BatchedGroup | None]) -> BatchedGroup | None:
    """The group of all objects of a session; None where each is tracked by itself.

    Raises:
        ConfigError: They are of different groups.
    """
    first = groups[0] if groups else None
    if any(group is not first for group in groups):
        remedy = "add objects with Session.add_object, or make them with the group of the session"
        raise ConfigError(mismatch("objects", "several groups of tracks", "one for a camera", remedy))
    return first
