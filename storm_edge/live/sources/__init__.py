"""Where the frames of a live session come from.

**To add a camera**, write a module here with a class that fulfils `FrameSource` or `LiveSource`. What is particular
to the camera (BGR, millimetres, depth that is not aligned to colour, its clock) ends there: it yields `Frame`s and
nothing else.

A `FrameSource` waits for its next frame, however long that takes. A `LiveSource` never waits longer than it is told
to and says how it is, which a service needs that must answer while a camera is silent. `arrays.ArraySource` is for
programs that have the images already, `handed_in.HandedIn` for a service whose frames come from such a program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a camera process starts in half the time without
    from storm_edge.frame import Frame
    from storm_edge.live.frame_gate import SkipReason


class FrameSource(Protocol):
    """A camera, or what stands for one."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of their exposure; waits for the next one, ends when there is none to come."""


class SourceState(str, Enum):
    """How a source is."""

    OPENING = "opening"
    """It was opened and has given no frame yet."""
    RUNNING = "running"
    """Frames come."""
    STALLED = "stalled"
    """No frame came for longer than it may take."""
    RECOVERING = "recovering"
    """It is being started anew."""
    ENDED = "ended"
    """There are no more frames to come."""


@dataclass(frozen=True, kw_only=True)
class SourceStatus:
    """How a source is, for reports."""

    state: SourceState
    """In a word."""
    detail: str = ""
    """In some more words: which camera, what is being tried."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What happened so far: frames passed over, restarts and the like."""
    readings: Mapping[str, float] = field(default_factory=dict)
    """What the camera says of itself now, with units in the names: ``temperature_c``."""


class LiveSource(Protocol):
    """A camera that never makes its caller wait for longer than asked; used by one thread."""

    def open(self) -> None:
        """Begin.

        Raises:
            StormEdgeError: It is not there, or cannot be used; one line.
        """

    def poll(self, timeout_s: float) -> Frame | SkipReason | None:
        """The newest frame that was not given yet, or why one that came cannot be used.

        Args:
            timeout_s: How long to wait for it at most [s].

        Returns:
            None where none came; `status` says whether there will be one.

        Raises:
            RunFault: There will be none, and that was not to be expected.
        """

    @property
    def status(self) -> SourceStatus:
        """How it is; may be asked from any thread."""

    def close(self, timeout_s: float) -> None:
        """End it within a time [s]. Closing twice is harmless."""
