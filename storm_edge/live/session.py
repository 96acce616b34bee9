"""The loop over frames: every object in every frame, whoever hands the frames in.

`Session.step` is what happens at a frame: the gate says whether it is one (`frame_gate`), objects with a pose are
followed, and one of those without is looked for (`turns`), here or on a lane that is kept out of the tracking's way.
Verifying goes round: of several objects each has frames of its own in which its network is asked. Objects come and
go between frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from storm_edge.choices import TrackerKind
from storm_edge.errors import ConfigError, mismatch
from storm_edge.frame import Frame
from storm_edge.kernels.streams import on_stream
from storm_edge.live.arbiter import RecoveryRequest, next_request
from storm_edge.live.batched_group import BatchedGroup, common_group
from storm_edge.live.config import StormConfig
from storm_edge.live.executor import ObjectSession
from storm_edge.live.frame_gate import Gate, admit
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.track_report import FrameResult, Track
from storm_edge.live.watchdog import Watchdog
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

Initialize = Callable[[ObjectSession, Frame, FrameBuffers], Track | None]
"""Gives an object its pose in a frame and returns its track; None to track it, or search for it, as usual."""


class Session:
    """All objects of one camera; not to be shared between threads.

    Args:
        objects: What to follow from the beginning.
        config: The configuration that they were made with; the default when None.
        device: Warp device name.
        lane: The lane that these objects were made with, if any.
        watchdog: Looks on.
        stream: CUDA stream that frames are followed on, see `kernels.streams`; None on a CPU.
    """

    def __init__(
        self,
        objects: Iterable[ObjectSession] = (),
        *,
        config: StormConfig | None = None,
        device: str = "cpu",
        lane: BackgroundLane | None = None,
        watchdog: Watchdog | None = None,
        stream: Any = None,
    ) -> None:
        self._config, self._stream = config or StormConfig(), stream
        self._device, self._lane, self._watchdog = device, lane, watchdog
        self._objects: list[ObjectSession] = []
        self._gate = Gate()
        self._buffers: FrameBuffers | None = None
        self._turn: tuple[ObjectSession, int] | None = None  # who had it last, in which attempt
        self._gone: dict[str, int] = {}  # unusable answers of objects that were removed
        for item in objects:
            self._objects.append(item)
        self._group = common_group([item.group for item in self._objects])
        self._share_verifying()

    @property
    def group(self) -> BatchedGroup | None:
        """What follows all objects together; None where each is followed by itself."""
        return self._group

    @property
    def tracker(self) -> dict[str, object]:
        """How objects are followed, for reports; JSON types."""
        return {"kind": TrackerKind.STEPWISE.value} if self._group is None else self._group.report

    @property
    def objects(self) -> tuple[ObjectSession, ...]:
        """What is followed, in the order of the tracks."""
        return tuple(self._objects)

    @property
    def faults(self) -> dict[str, object]:
        """What went wrong so far and was gone on from, for reports; JSON types."""
        non_finite_count = dict(self._gone)
        for item in self._objects:
            for network, count in item.non_finite_count.items():
                non_finite_count[network] = non_finite_count.get(network, 0) + count
        rebuilt: dict[str, str] = {}
        for item in self._objects:
            rebuilt |= item.rebuilt
        if self._lane is not None and self._lane.thread_replaced:
            rebuilt["locate thread"] = "a chunk that hung"
        return {
            "frames": self._gate.counts,
            "non_finite": non_finite_count,
            "recovered": rebuilt,
            "stalls": 0 if self._watchdog is None else self._watchdog.stalls,
        }

    def add(self, item: ObjectSession) -> None:
        """Follow one more object from the next frame on; where the lane is used it must have been made with it.

        Raises:
            ConfigError: An object of that name is followed already, or the others are in another group.
        """
        name = item.bundle.object_id
        if any(other.bundle.object_id == name for other in self._objects):
            raise ConfigError(mismatch("objects", f"{name} twice", "each once", "give the second one another name"))
        self._group = common_group([*(other.group for other in self._objects), item.group])
        self._objects.append(item)
        item.resume()
        self._share_verifying()

    def remove(self, object_id: str) -> ObjectSession:
        """Follow an object no longer; what is under way for it has ended when this returns.

        Raises:
            ConfigError: No such object.
            RunFault: A chunk of its work hangs.
        """
        for item in self._objects:
            if item.bundle.object_id == object_id:
                break
        else:
            names = [item.bundle.object_id for item in self._objects]
            raise ConfigError(mismatch("objects", f"no {object_id}", f"one of {names}", "name one that is followed"))
        self._objects.remove(item)
        item.stop()
        for network, count in item.non_finite_count.items():
            self._gone[network] = self._gone.get(network, 0) + count
        self._share_verifying()
        return item

    def step(
        self, frame: Frame, *, initialize: Initialize | None = None, next_due_s: float | None = None
    ) -> FrameResult:
        """One frame: a `Track` per object, or the reason why the frame was skipped (see `frame_gate`).

        Args:
            frame: The image.
            initialize: Gives objects their first pose.
            next_due_s: When the next frame is expected, by `time.monotonic` [s]; None where nobody knows.
        """
        self._gate, admitted = admit(self._gate, frame, self._config.frame_gate)
        if admitted is None:
            return FrameResult(skipped_reason=self._gate.skipped_reason)
        if self._lane is not None:
            # Who follows nothing has nothing to keep out of the way of: held to a frame's deadline, the first search
            # of a run, whose chunks nobody has timed yet, would begin one chunk every other frame.
            followed = any(item.state.has_pose for item in self._objects)
            self._lane.arrive(admitted.index, next_due_s=next_due_s if followed else None)
        watched = nullcontext() if self._watchdog is None else self._watchdog.watching("track")
        with watched, on_stream(self._stream):
            tracks = self._step(admitted, initialize)
        return FrameResult(tracks=[replace(track, frame=frame.index, stamp_ns=frame.stamp_ns) for track in tracks])

    def _step(self, frame: Frame, initialize: Initialize | None) -> list[Track]:
        with nullcontext() if self._lane is None else self._lane.tracking():
            began = time.perf_counter()
            buffers = self._uploaded(frame, is_read=initialize is not None)
            upload_ms = (time.perf_counter() - began) * 1e3
            given: dict[int, Track] = {}
            spent: dict[int, dict[str, float]] = {}
            for place, item in enumerate(self._objects):
                track = None if initialize is None else initialize(item, frame, buffers)
                if track is None:
                    spent[place] = item.advance(frame, buffers)
                else:
                    given[place] = track
        self._locate(spent)
        tracks = [
            given[place] if place in given else item.report(frame, spent[place])
            for place, item in enumerate(self._objects)
        ]
        return [_with_upload(track, upload_ms) for track in tracks]

    def _locate(self, spent: dict[int, dict[str, float]]) -> None:
        """Give one object the turn, and let it use it."""
        requests = [self._wish(item) if place in spent else None for place, item in enumerate(self._objects)]
        place = next_request(requests)
        if place is not None:
            item = self._objects[place]
            attempt = item.state.attempt
            self._turn = None if attempt is None else (item, attempt.number)
            began = time.perf_counter()
            item.locate()
            spent[place]["locate"] = spent[place].get("locate", 0.0) + (time.perf_counter() - began) * 1e3

    def _wish(self, item: ObjectSession) -> RecoveryRequest | None:
        need, attempt = item.need, item.state.attempt
        if need is None or attempt is None:
            return None
        held = self._turn is not None and self._turn[0] is item and self._turn[1] == attempt.number
        return RecoveryRequest(need=need, since_s=attempt.started_s, held=held, in_progress=item.in_progress)

    def _uploaded(self, frame: Frame, *, is_read: bool) -> FrameBuffers:
        if self._group is not None and self._objects:
            return self._objects[0].show(frame, is_read=is_read)
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers = FrameBuffers(*frame.size_px, self._device)
        self._buffers.upload(frame)
        return self._buffers

    def _share_verifying(self) -> None:
        for place, item in enumerate(self._objects):
            item.set_verification_turn(place, len(self._objects))


def _with_upload(track: Track, upload_ms: float) -> Track:
    stages = {"upload": upload_ms, **track.latency_ms}
    return replace(track, latency_ms={**stages, "total": sum(stages.values())})
