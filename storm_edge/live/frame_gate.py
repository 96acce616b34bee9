"""Which frames of a camera a session uses: each once, in order, on a clock that never jumps, and none that is empty.

`admit` is pure, a `Gate` and a frame in, the next `Gate` and the frame to use out. Frames go by their numbers; a
number that was there before is skipped, and so is a picture that comes again under another number. A camera that was
started anew counts from 0 again: a lower number is a late frame, unless its stamp goes on, or so many lower ones
follow one another that nothing else can be meant. Then the session's numbers go on where they were. The stamp of a
frame says when it was taken, unless it leaps: more than a second from what the frame numbers say, or not forward at
all. Then the session's time goes on as if the camera had kept its rate; a second's pause of the camera itself looks
the same and is taken the same way, but for that of a camera that starts anew: then a second passes. What is reported
of a frame has the camera's own stamp and number; after a restart numbers come again.

A time without frames in which things may have moved is a pause: several of the intervals that the camera has, or a
clock that leaps or a camera that starts anew, so that nobody knows. Objects are then doubted until they were seen
again (`state_machine`).

A frame without a picture or without depth says nothing of any object, and would end every track: it is skipped, and
the next one goes on from the one before.

Nothing of a camera is kept across frames but its buffers' size, so that another K needs no more than to be noticed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from storm_edge.frame import Frame
from storm_edge.live.config import FrameGateConfig


class SkipReason(str, Enum):
    """Why a frame is not used."""

    REPEATED = "repeated"
    """Its number, or its picture with its stamp, was there before."""
    OUT_OF_ORDER = "out of order"
    """A newer frame was there before it."""
    UNREADABLE = "unreadable"
    """Its source could not read it: a file is missing, cut short or no image."""
    WRONG_FORM = "wrong form"
    """Its source has colour or depth of another type or size than they must have."""
    NO_DEPTH = "no depth"
    """No pixel has a reading."""
    WRONG_UNIT = "wrong unit"
    """Its depth cannot be in metres."""
    BLACK = "black"
    """No pixel of its picture is brighter than black."""
    NO_CAMERA = "no camera"
    """Its intrinsics are not finite, or its focal length is not above 0."""

    @property
    def key(self) -> str:
        """Its name in reports."""
        return self.value.replace(" ", "_")


UNUSABLE = (
    SkipReason.UNREADABLE,
    SkipReason.WRONG_FORM,
    SkipReason.NO_DEPTH,
    SkipReason.WRONG_UNIT,
    SkipReason.BLACK,
    SkipReason.NO_CAMERA,
)
"""Reasons that lie in the frame itself, not in when it came."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What is known of the frames so far. The default is the start."""

    last: Frame | None = None
    """The newest frame that was admitted, as it came."""
    offset_ns: int = 0
    """The session's time less the camera's stamp [ns]."""
    offset: int = 0
    """The session's number of a frame less the camera's."""
    late: Frame | None = None
    """The newest of the frames with lower numbers that came one after the other, without another in between."""
    late_count: int = 0
    """How many of them."""
    period_ns: int | None = None
    """Time between frames of neighbouring numbers, as it was last [ns]; None before it was measured."""
    repeated: int = 0
    """Frames that were there before and were skipped."""
    disordered: int = 0
    """Frames that came after a newer one and were skipped."""
    restarts: int = 0
    """Times that the camera began to count anew."""
    clock_jumps: int = 0
    """Stamps that the session's time did not follow."""
    camera_changes: int = 0
    """Frames with other intrinsics or of another size than the one before."""
    unusable: Mapping[SkipReason, int] = field(default_factory=lambda: dict.fromkeys(UNUSABLE, 0))
    """Frames that were skipped for what they lack, by reason."""
    skipped_reason: SkipReason | None = None
    """Why the newest frame was skipped; None if it was admitted."""
    intervals_ns: tuple[int, ...] = ()
    """Times between the newest frames that were admitted, by stamps that were followed [ns]."""
    is_clock_sound: bool = False
    """Whether the newest stamp was followed; a clock that leaps again and again says nothing of pauses."""
    is_after_pause: bool = False
    """Whether there was a pause before the newest frame that was admitted, or its clock leapt or its camera started
    anew, so that nobody knows: long enough for anything to have moved."""

    @property
    def counts(self) -> dict[str, int]:
        """What was out of the ordinary, for reports."""
        return {
            "repeated": self.repeated,
            "disordered": self.disordered,
            "restarts": self.restarts,
            "clock_jumps": self.clock_jumps,
            "camera_changes": self.camera_changes,
            **{reason.key: count for reason, count in self.unusable.items()},
        }


def find_fault(frame: Frame, config: FrameGateConfig) -> SkipReason | None:
    """What a frame lacks that nothing can be seen without; None where nothing is amiss."""
    step = config.sampled_every
    # A sample of a sound frame settles it; only one that looks empty is read whole.
    if not (frame.depth_m[::step, ::step] > 0.0).any() and not (frame.depth_m > 0.0).any():
        return SkipReason.NO_DEPTH
    black = config.black_level
    if frame.rgb[::step, ::step].max(initial=0) <= black and frame.rgb.max(initial=0) <= black:
        return SkipReason.BLACK
    if not (np.isfinite(frame.K).all() and frame.K[0, 0] > 0.0 and frame.K[1, 1] > 0.0):
        return SkipReason.NO_CAMERA
    return None


def refuse(gate: Gate, reason: SkipReason) -> Gate:
    """The next gate after a frame that cannot be used, whether it came or its source could not make it."""
    unusable = {**gate.unusable, reason: gate.unusable[reason] + 1}
    return replace(gate, unusable=unusable, skipped_reason=reason)


def admit(gate: Gate, frame: Frame, config: FrameGateConfig) -> tuple[Gate, Frame | None]:
    """The frame by the session's number and time, or None where it is to be skipped; and the next gate."""
    fault = find_fault(frame, config)
    if fault is not None:
        return refuse(gate, fault), None
    last = gate.last
    if last is None:
        return replace(gate, last=frame, skipped_reason=None), frame
    steps, advance_ns, is_restarted = frame.index - last.index, frame.stamp_ns - last.stamp_ns, False
    if steps < 0:
        late_count = gate.late_count + 1 if gate.late is not None and frame.index > gate.late.index else 1
        if advance_ns <= 0 and late_count < config.restarted_after:
            return (
                replace(
                    gate,
                    disordered=gate.disordered + 1,
                    late=frame,
                    late_count=late_count,
                    skipped_reason=SkipReason.OUT_OF_ORDER,
                ),
                None,
            )
        gate = replace(gate, restarts=gate.restarts + 1, offset=gate.offset - steps + 1)
        steps, is_restarted = 1, True
    elif steps == 0 or (advance_ns == 0 and _same_picture(frame, last)):
        return replace(gate, repeated=gate.repeated + 1, skipped_reason=SkipReason.REPEATED), None
    gate = replace(gate, late=None, late_count=0, skipped_reason=None)
    leap_ns = config.clock_leap_ns
    expected_ns = steps * (gate.period_ns or config.nominal_period_ns)
    if 0 < advance_ns <= max(leap_ns, expected_ns + leap_ns):
        period_ns = min(max(advance_ns // steps, 1), leap_ns)
        intervals_ns = (*gate.intervals_ns, advance_ns)[-config.usual_of :]
        is_pause = is_restarted or advance_ns > _pause_ns(gate, config)
        gate = replace(
            gate, period_ns=period_ns, intervals_ns=intervals_ns, is_clock_sound=True, is_after_pause=is_pause
        )
    else:
        # While a camera starts anew things move: then as much time passes as makes the state machine forget scores.
        advance_ns = leap_ns if is_restarted and advance_ns > 0 else min(expected_ns, leap_ns)
        offset_ns = last.stamp_ns + gate.offset_ns + advance_ns - frame.stamp_ns
        is_pause = gate.is_clock_sound or is_restarted
        gate = replace(
            gate,
            offset_ns=offset_ns,
            clock_jumps=gate.clock_jumps + 1,
            is_clock_sound=False,
            is_after_pause=is_pause,
        )
    changed = frame.size_px != last.size_px or not np.array_equal(frame.K, last.K)
    gate = replace(gate, last=frame, camera_changes=gate.camera_changes + changed)
    return gate, replace(frame, index=frame.index + gate.offset, stamp_ns=frame.stamp_ns + gate.offset_ns)


def _pause_ns(gate: Gate, config: FrameGateConfig) -> float:
    """A longer time between two frames is a pause [ns]."""
    if not gate.intervals_ns:
        return config.clock_leap_ns
    return max(config.pause_ns, config.pause_intervals * statistics.median(gate.intervals_ns))


def _same_picture(frame: Frame, other: Frame) -> bool:
    return np.array_equal(frame.rgb, other.rgb) and np.array_equal(frame.depth_m, other.depth_m)
