"""Play the frames of a recording through some work and take the time of every stage.

Of every frame the stages are timed one by one, and the whole way from the call to the pose. Where frames are paced
the way begins at the frame's stamp, so that a frame that had to wait counts as late as it was.
`storm_edge.bench.modes` says what the work is, `storm_edge.bench.checks` whether it was right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from storm_edge.bench.memory import resident_mib
from storm_edge.bench.plan import BenchPlan
from storm_edge.bench.recording import RecordedFrame, Recording
from storm_edge.frame import Frame
from storm_edge.kernels.streams import on_stream
from storm_edge.live.batched_group import BatchedGroup
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.track_report import Track
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.replay.pacing import Due, Pacer

END_TO_END = "end to end"
"""From the call, or where frames are paced from the frame's stamp, to the pose."""
WAIT, UPLOAD, OTHER = "wait", "upload", "other"

_BETWEEN_PASSES_NS = 33_000_000

Step = Callable[[RecordedFrame, Frame, FrameBuffers], Track]
Progress = Callable[[], None]


@dataclass(kw_only=True)
class Phase:
    """Times of one kind of frames, in the order they were taken."""

    name: str
    """What had to be done."""
    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    """By stage [ms]; a stage that did not run in a frame has no sample of it."""
    warm_up_ms: list[float] = field(default_factory=list)
    """End to end of the frames before [ms]."""
    late_count: int | None = None
    """Frames whose pose came after the next frame was due; None where nothing is paced."""
    skipped_count: int = 0
    """Frames that were passed over because newer ones were due."""
    states: dict[str, int] = field(default_factory=dict)
    """Frames by the object's state."""

    def add(self, stage: str, ms: float) -> None:
        """One more sample of a stage."""
        self.samples_ms.setdefault(stage, []).append(ms)


@dataclass(frozen=True, kw_only=True)
class PlayedFrame:
    """A frame and what came out of it."""

    recorded: RecordedFrame
    """What the scene says of it."""
    frame: Frame
    """As it was handed in, with the number and stamp of the run."""
    track: Track
    """What came out."""
    ended_s: float
    """When, by `time.perf_counter` [s]."""
    is_timed: bool
    """False in the warm-up."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Frames that are played in one go."""

    phase: str
    """Under which name their times are kept; several passes may add to one phase."""
    frame_count: int
    """Frames after the warm-up."""
    step: Step
    """What is done with a frame."""
    group: BatchedGroup | None = None
    """Takes the frame to the device in place of an upload, where there is one."""
    lane: BackgroundLane | None = None
    """Is told when frames come and when they are tracked, so that it stays out of the way."""
    after: Callable[[PlayedFrame], None] = lambda played: None
    """Called after each frame; its time does not count."""


class FramePlayer:
    """Plays a recording and keeps what was measured.

    Args:
        recording: What is played.
        plan: Rate, warm-up, device.
        stream: The stream that steps run on; None for the device's own.
        progress: Called after each frame.
    """

    def __init__(
        self, recording: Recording, plan: BenchPlan, *, stream: Any, progress: Progress = lambda: None
    ) -> None:
        self.phases: dict[str, Phase] = {}
        self.timed: list[PlayedFrame] = []
        """All frames after warm-ups."""
        self.host_begin_mib: float | None = None
        """Resident memory at the first of them [MiB]."""
        self._recording, self._plan, self._stream, self._progress = recording, plan, stream, progress
        self._next = self._next_ns = 0  # a session that is used again must not see time run backwards

    def play(self, passed: Pass) -> Phase:
        """Play the frames of a pass after its warm-up."""
        plan = self._plan
        phase = self.phases.setdefault(passed.phase, Phase(name=passed.phase))
        if plan.rate_hz is not None:
            phase.late_count = phase.late_count or 0
        buffers = FrameBuffers(*self._recording.size_px, plan.device)
        pacer = Pacer(plan.rate_hz)
        first, first_ns = self._next, self._next_ns
        for place in range(plan.warm_up_count + passed.frame_count):
            due = pacer.next()
            number, stamp_ns = first + due.number, first_ns + due.stamp_ns
            self._next, self._next_ns = number + 1, stamp_ns + _BETWEEN_PASSES_NS
            recorded = self._recording.at(number)
            frame = replace(recorded.frame, index=number, stamp_ns=stamp_ns)
            began = time.perf_counter()
            if passed.lane is not None:
                rest_s = None if plan.rate_hz is None else due.stamp_s + 1.0 / plan.rate_hz - time.perf_counter()
                passed.lane.arrive(number, next_due_s=None if rest_s is None else time.monotonic() + rest_s)
            tracking = nullcontext() if passed.lane is None else passed.lane.tracking()
            with tracking, on_stream(self._stream):
                if passed.group is None:
                    buffers.upload(frame)
                else:
                    buffers = passed.group.show(frame, is_read=place == 0)  # where the track begins
                uploaded = time.perf_counter()
                track = passed.step(recorded, frame, buffers)
                ended = time.perf_counter()
            played = PlayedFrame(
                recorded=recorded,
                frame=frame,
                track=track,
                ended_s=ended,
                is_timed=place >= plan.warm_up_count,
            )
            self._keep(phase, played, due, began, uploaded)
            passed.after(played)
            self._progress()
        return phase

    def _keep(self, phase: Phase, played: PlayedFrame, due: Due, began_s: float, uploaded_s: float) -> None:
        rate_hz = self._plan.rate_hz
        whole_ms = 1e3 * (played.ended_s - (began_s if rate_hz is None else due.stamp_s))
        if not played.is_timed:
            phase.warm_up_ms.append(whole_ms)
            return
        stages = {UPLOAD: 1e3 * (uploaded_s - began_s), **played.track.stages_ms}
        if rate_hz is not None:
            stages = {WAIT: 1e3 * (began_s - due.stamp_s), **stages}
            phase.late_count = (phase.late_count or 0) + (whole_ms > 1e3 / rate_hz)
            phase.skipped_count += due.skipped
        for stage, ms in stages.items():
            phase.add(stage, ms)
        phase.add(OTHER, whole_ms - sum(stages.values()))
        phase.add(END_TO_END, whole_ms)
        state = played.track.state.value
        phase.states[state] = phase.states.get(state, 0) + 1
        self.timed.append(played)
        if self.host_begin_mib is None:
            self.host_begin_mib = resident_mib()
