"""Which frames belong to a loss: the last seconds before it and some after it. Pure: no thread, no disk, no clock.

Frames come in one after the other. While nothing happens the oldest go; a loss makes a `Clip` of those that are there
and of those to come. A loss that follows soon makes the clip longer, up to a limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from storm_edge.mcap.packed_frame import PackedFrame
from storm_edge.service.beside_sections import LossSection

_NS_PER_S = 1_000_000_000
_BYTES_PER_MIB = 1 << 20


@dataclass(kw_only=True)
class Clip:
    """What is to become a file."""

    reasons: list[str]
    """Why: names of lost objects, or a word of who asked for it."""
    frames: list[PackedFrame] = field(default_factory=list)
    """In the order of their arrival."""
    until_ns: int
    """It ends with the first frame that arrives then or later [ns]."""
    size_bytes: int = 0
    """Memory of its images [bytes]."""

    def add(self, frame: PackedFrame) -> None:
        """One more frame."""
        self.frames.append(frame)
        self.size_bytes += frame.size_bytes


class LossWindow:
    """Keeps the last frames, and the clip that is being made.

    Args:
        section: How much is kept.
    """

    def __init__(self, section: LossSection) -> None:
        self._before_ns, self._after_ns, self._longest_ns = (
            round(seconds * _NS_PER_S) for seconds in (section.before_s, section.after_s, section.longest_s)
        )
        self._most_bytes = round(section.memory_mib * _BYTES_PER_MIB)
        self._ring: deque[PackedFrame] = deque()
        self._ring_bytes = 0
        self._clip: Clip | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no frame has come yet."""
        return not self._ring

    @property
    def kept_s(self) -> float:
        """Time from the oldest to the newest frame that is kept [s]."""
        return (self._ring[-1].arrived_ns - self._ring[0].arrived_ns) / _NS_PER_S if self._ring else 0.0

    @property
    def kept_mib(self) -> float:
        """Memory of the frames that are kept [MiB]."""
        return self._ring_bytes / _BYTES_PER_MIB

    def add(self, frame: PackedFrame, reasons: Sequence[str] = ()) -> Clip | None:
        """One more frame.

        Args:
            frame: The frame.
            reasons: Names of what was lost in it, and words of who asks for a clip.

        Returns:
            The clip that ends with it, if one does.
        """
        self._ring.append(frame)
        self._ring_bytes += frame.size_bytes
        while len(self._ring) > 1 and (
            self._ring[0].arrived_ns < frame.arrived_ns - self._before_ns or self._ring_bytes > self._most_bytes
        ):
            self._ring_bytes -= self._ring.popleft().size_bytes
        if self._clip is not None:
            self._clip.add(frame)
        if reasons:
            self._extend(frame, reasons)
        if self._clip is None:
            return None
        is_over = frame.arrived_ns >= self._clip.until_ns or self._clip.size_bytes > self._most_bytes
        return self.end() if is_over else None

    def ask(self, reasons: Sequence[str]) -> None:
        """Make a clip of what is there, while no frame comes; nothing where nothing is."""
        if reasons and self._ring:
            self._extend(self._ring[-1], reasons)

    def end_by(self, now_ns: int) -> Clip | None:
        """The clip whose end has passed without a frame; None where there is none."""
        return self.end() if self._clip is not None and now_ns >= self._clip.until_ns else None

    def end(self) -> Clip | None:
        """The clip as it is, without what is still to come; None where there is none."""
        clip, self._clip = self._clip, None
        return clip

    def _extend(self, frame: PackedFrame, reasons: Sequence[str]) -> None:
        if self._clip is None:
            self._clip = Clip(reasons=[], until_ns=0)
            for kept in self._ring:
                self._clip.add(kept)
        self._clip.reasons += [reason for reason in reasons if reason not in self._clip.reasons]
        last_ns = self._clip.frames[0].arrived_ns + self._longest_ns
        self._clip.until_ns = min(frame.arrived_ns + self._after_ns, last_ns)
