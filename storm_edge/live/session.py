"""The session: frames of one camera in, tracks of all objects out.

`Session.step` is what happens at a frame. `frame_gate` decides whether it is used, objects with a pose are tracked,
and the recovery of one of those without goes on (`arbiter`): here, or on a lane that is kept out of the tracking's
way. Verification goes round: of several objects each has frames of its own in which its network is asked. Objects
are added and removed between frames.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from storm_edge.choices import TrackerKind
from storm_edge.errors import ConfigError, FrameError, InputError, mismatch
from storm_edge.frame import Frame
from storm_edge.kernels.device import require_device
from storm_edge.kernels.streams import on_stream
from storm_edge.live.batched_group import BatchedGroup, common_group
from storm_edge.live.camera_doubt import CameraDoubt
from storm_edge.live.config import StormConfig
from storm_edge.live.frame_gate import Gate, SkipReason, admit, refuse
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.recovery_turns import RecoveryTurns
from storm_edge.live.track_report import TOTAL, FrameResult, Track
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.thread_limit import usable_threads

Initialize = Callable[[ObjectSession, Frame, FrameBuffers], Track | None]
"""Gives an object its pose in a frame and returns its track; None to track it, or search for it, as usual."""

_log = logging.getLogger(__name__)


class Session:
    """All objects of one camera; not to be shared between threads. `factory.open_session` makes one.

    Args:
        objects: What to track from the beginning.
        config: The configuration that they were made with; the default when None.
        device: Warp device name.
        lane: The lane that these objects were made with, if any; `close` closes it.
        watchdog: Is told when a frame is worked on.
        stream: CUDA stream that objects are tracked on, see `kernels.streams`; None on a CPU.
        make_object: Makes objects that are added later, of a bundle and the path it came from; None leaves that to
            the caller.

    Raises:
        ConfigError: Two objects of one name, of several batched groups, or on another device.
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
        make_object: Callable[[ObjectBundle, Path | None], ObjectSession] | None = None,
    ) -> None:
        self._config, self._stream, self._make_object = config or StormConfig(), stream, make_object
        self._device, self._lane, self._watchdog = require_device(device).alias, lane, watchdog
        self._search_threads = usable_threads(self._config.search_threads)
        self._objects: list[ObjectSession] = []
        self._gate = Gate()
        self._buffers: FrameBuffers | None = None
        self._removed_non_finite: Counter[str] = Counter()  # of objects that were removed
        self._turns, self._is_closed = RecoveryTurns(), False
        self._camera = CameraDoubt(self._config.depth_offset)
        self._group: BatchedGroup | None = None
        for item in objects:
            self._check_new(item)
            self._objects.append(item)
        self._share_verification()

    def __enter__(self) -> Session:
        self._check_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def config(self) -> StormConfig:
        """The configuration."""
        return self._config

    @property
    def group(self) -> BatchedGroup | None:
        """What tracks all objects together; None where each is tracked by itself."""
        return self._group

    @property
    def tracker(self) -> dict[str, object]:
        """How objects are tracked, for reports; JSON types."""
        return {"kind": TrackerKind.STEPWISE.value} if self._group is None else self._group.report

    @property
    def objects(self) -> tuple[ObjectSession, ...]:
        """What is tracked, in the order of the tracks."""
        return tuple(self._objects)

    @property
    def faults(self) -> dict[str, object]:
        """What went wrong so far while the session went on, for reports; JSON types."""
        non_finite_count = Counter(self._removed_non_finite)
        rebuilt: dict[str, str] = {}
        for item in self._objects:
            non_finite_count.update(item.non_finite_count)
            rebuilt |= item.rebuild_reasons
        if self._lane is not None and self._lane.thread_replaced:
            rebuilt["locate thread"] = "a chunk that hung"
        return {
            "frames": self._gate.counts,
            "non_finite": dict(non_finite_count),
            "recovered": rebuilt,
            "stalls": 0 if self._watchdog is None else self._watchdog.stalls,
        }

    @property
    def remarks(self) -> list[str]:
        """What was odd about the camera, a line each, for reports; each was logged as a warning, too."""
        return self._camera.remarks

    def conclude(self) -> None:
        """There are no more frames: what is odd about few of them is remarked, too."""
        self._camera.conclude()

    def add_object(self, bundle: ObjectBundle, *, name: str | None = None, path: Path | None = None) -> ObjectSession:
        """Search for and track one more object from the next frame on.

        Args:
            bundle: The object; the same one may be there already under another name, and is another instance then.
            name: Its name in reports; None takes the bundle's.
            path: Where it came from: what a segmenter keeps of it is read there, and made anew without.

        Raises:
            ConfigError: An object of that name is tracked already, or the session was made without a factory.
            InputError: The session is closed.
        """
        self._check_open()
        bundle = bundle if name is None else replace(bundle, object_id=name)
        _check_name(self._objects, bundle.object_id)
        item = self.prepare_object(bundle, path=path)
        self.add(item)
        return item

    def prepare_object(self, bundle: ObjectBundle, *, path: Path | None = None) -> ObjectSession:
        """Make an object ready, which takes some frames' time; `add` has it tracked then.

        On a CPU another thread may do this while the session goes on; on CUDA it is done between frames.

        Raises:
            ConfigError: The session was made without a factory.
            InputError: The session is closed.
        """
        self._check_open()
        if self._make_object is None:
            remedy = "open the session with open_session, or make the object yourself and call add"
            raise ConfigError(mismatch("add_object", "a session that makes no objects", "one that does", remedy))
        return self._make_object(bundle, path)

    def add(self, item: ObjectSession) -> None:
        """Track one more object from the next frame on; where the lane is used it must have been made with it.

        Raises:
            ConfigError: An object of that name is tracked already, or it is on another device or in another group.
            InputError: The session is closed.
        """
        self._check_open()
        self._check_new(item)
        self._objects.append(item)
        item.resume()
        self._share_verification()

    def remove(self, object_id: str) -> ObjectSession:
        """Track an object no longer; what is in progress for it has ended when this returns.

        Raises:
            ConfigError: No such object.
            RunFault: A chunk of its work hangs.
        """
        item = self._named(object_id)
        self._objects.remove(item)
        item.stop()
        self._removed_non_finite.update(item.non_finite_count)
        self._share_verification()
        return item

    def relocalise(self, object_id: str) -> None:
        """Give up what is known of where an object is; it is searched for as if it had never been seen.

        Raises:
            ConfigError: No such object.
            RunFault: A chunk of its work hangs.
        """
        self._named(object_id).relocalise()

    def step(
        self, frame: Frame, *, initialize: Initialize | None = None, next_due_s: float | None = None
    ) -> FrameResult:
        """One frame: a `Track` per object, or the reason why the frame was skipped (see `frame_gate`).

        Args:
            frame: The image.
            initialize: Gives objects their first pose.
            next_due_s: When the next frame is expected, by `time.monotonic` [s]; None where nobody knows.

        Raises:
            FrameError: That is no `Frame`.
            InputError: The session is closed.
            RunFault: A lane failed for good.
        """
        self._check_open()
        _check_frame(frame)
        self._gate, admitted = admit(self._gate, frame, self._config.frame_gate)
        if admitted is None:
            return self._skipped(frame.index)
        if self._lane is not None:
            # While nothing is tracked there is nothing to keep out of the way of: held to a frame's deadline, the
            # first search, whose chunks were never timed, would begin one chunk every other frame.
            is_tracking = any(item.state.has_pose for item in self._objects)
            if is_tracking:
                self._lane.give_way()
            self._lane.launch_on(1 if is_tracking else self._search_threads)
            self._lane.arrive(admitted.index, next_due_s=next_due_s if is_tracking else None)
        watched = nullcontext() if self._watchdog is None else self._watchdog.watching("track")
        with watched, on_stream(self._stream):
            tracks = self._step(admitted, initialize)
        return FrameResult(tracks=[replace(track, frame=frame.index, stamp_ns=frame.stamp_ns) for track in tracks])

    def skip(self, index: int, reason: SkipReason) -> FrameResult:
        """A frame that its source could not make, such as one from a file that is cut short: counted, and skipped."""
        self._check_open()
        self._gate = refuse(self._gate, reason)
        return self._skipped(index)

    def close(self) -> None:
        """End what is in progress, and the lane. Closing twice is harmless.

        Raises:
            RunFault: A chunk of some work hangs.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            for item in self._objects:
                item.stop()
        finally:
            if self._lane is not None:
                self._lane.close()

    def _named(self, object_id: str) -> ObjectSession:
        by_name = {item.bundle.object_id: item for item in self._objects}
        if object_id not in by_name:
            got, expected = f"no {object_id}", f"one of {list(by_name)}"
            raise ConfigError(mismatch("objects", got, expected, "name one that is tracked"))
        return by_name[object_id]

    def _skipped(self, index: int) -> FrameResult:
        reason = self._gate.skipped_reason
        _log.info("frame %d skipped: %s", index, "" if reason is None else reason.value)
        return FrameResult(skipped_reason=reason)

    def _step(self, frame: Frame, initialize: Initialize | None) -> list[Track]:
        with nullcontext() if self._lane is None else self._lane.tracking():
            began = time.perf_counter()
            buffers = self._upload(frame, is_read=initialize is not None)
            self._camera.look(frame)
            for item in self._objects:
                item.is_camera_doubted, item.is_after_pause = self._camera.is_doubted, self._gate.is_after_pause
            upload_ms = (time.perf_counter() - began) * 1e3
            given: dict[int, Track] = {}
            spent_ms: dict[int, dict[str, float]] = {}
            for place, item in enumerate(self._objects):
                track = None if initialize is None else initialize(item, frame, buffers)
                if track is None:
                    spent_ms[place] = item.update(frame, buffers)
                else:
                    given[place] = track
        self._turns.run(self._objects, spent_ms)
        tracks = [
            given[place] if place in given else item.report(frame, spent_ms[place])
            for place, item in enumerate(self._objects)
        ]
        return [_with_upload(track, upload_ms) for track in tracks]

    def _upload(self, frame: Frame, *, is_read: bool) -> FrameBuffers:
        if self._group is not None and self._objects:
            return self._objects[0].show(frame, is_read=is_read)
        if self._buffers is None or self._buffers.size_px != frame.size_px:
            self._buffers = FrameBuffers(*frame.size_px, self._device)
        self._buffers.upload(frame)
        return self._buffers

    def _share_verification(self) -> None:
        for place, item in enumerate(self._objects):
            item.set_verification_turn(place, len(self._objects))

    def _check_open(self) -> None:
        if self._is_closed:
            raise InputError(mismatch("session", "a call after close", "an open session", "open another session"))

    def _check_new(self, item: ObjectSession) -> None:
        """Refuse an object that cannot be tracked here."""
        _check_name(self._objects, item.bundle.object_id)
        if item.device != self._device:
            remedy = "make the object and the session for one device"
            what = f"object {item.bundle.object_id}"
            raise ConfigError(mismatch(what, f"device {item.device}", f"{self._device} like its session", remedy))
        self._group = common_group([*(other.group for other in self._objects), item.group])


def _check_name(objects: Iterable[ObjectSession], name: str) -> None:
    if any(other.bundle.object_id == name for other in objects):
        remedy = f"give another instance a name of its own, add_object(bundle, name='{name}#2')"
        raise ConfigError(mismatch("objects", f"{name} twice", "each name once", remedy))


def _check_frame(frame: object) -> None:
    if not isinstance(frame, Frame):
        remedy = "make one of your images with storm_edge.frame.checked_frame"
        raise FrameError(mismatch("frame of a step", type(frame).__name__, "a Frame", remedy))


def _with_upload(track: Track, upload_ms: float) -> Track:
    stages = {"upload": upload_ms, **track.latency_ms}
    return replace(track, latency_ms={**stages, TOTAL: sum(stages.values())})
