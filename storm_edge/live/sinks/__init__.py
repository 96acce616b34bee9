"""Where the results of a live session go.

**To add a sink**, write a module here with a class that fulfils `Sink`. It runs on a thread of its own behind a
`queue.SinkQueue`: it may block and it may fail, and neither the loop nor another sink notices. What is sent of a
frame is `message.as_message`, in every sink the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.track_report import Track


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """What came of one frame."""

    frame: int
    """Its number, as its source counts."""
    stamp_ns: int
    """Time of exposure, by its source's clock [ns]; 0 of a frame that could not be read."""
    skipped_reason: SkipReason | None = None
    """Why the frame was not used; None if it was."""
    tracks: tuple[Track, ...] = ()
    """One per object; empty where the frame was skipped."""


class Sink(Protocol):
    """Takes reports, one after the other, on a thread of its own."""

    name: str
    """What it is called in counts and logs. A sink may have ``details`` beside it, further counts by name."""

    def send(self, report: FrameReport) -> None:
        """Pass a report on; may block.

        Raises:
            StormEdgeError: It could not; counted, and the next report is tried.
            OSError: Likewise.
        """

    def close(self) -> None:
        """End it. Closing twice is harmless."""
