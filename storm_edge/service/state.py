"""What the service is doing, for whoever asks from another thread, and what it is told to do between frames.

The loop writes a whole `Snapshot` at a time; control, health and systemd read it. Commands wait in a queue; the loop
executes them between two frames, answers through a future and never waits for one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from storm_edge.live.sinks.queue import SinkCounts
from storm_edge.live.sources import SourceState, SourceStatus
from storm_edge.live.track_report import TrackState


class Phase(str, Enum):
    """Where the service is in its life."""

    STARTING = "starting"
    """It compiles kernels, opens its source and waits for the first frame."""
    RUNNING = "running"
    """Frames have come."""
    STOPPING = "stopping"
    """It ends."""


@dataclass(frozen=True, kw_only=True)
class ObjectStatus:
    """One object in the newest frame."""

    name: str
    """Of the object."""
    state: TrackState
    """What is known."""
    confidence: float
    """How well its pose explains the image, 0 to 1."""
    pose_age_ms: float | None
    """Age of the pose in that frame [ms]; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The service at one moment."""

    phase: Phase = Phase.STARTING
    """Where it is in its life."""
    uptime_s: float = 0.0
    """Since it began [s]."""
    frames: int = 0
    """Frames that were used."""
    skipped_frames: int = 0
    """Frames that were not, see ``faults``."""
    rate_hz: float = 0.0
    """Frames per second lately, used ones."""
    step_ms: Mapping[str, float] = field(default_factory=dict)
    """``p50``, ``p95``, ``p99`` of `Session.step` lately [ms]."""
    objects: tuple[ObjectStatus, ...] = ()
    """All objects."""
    source: SourceStatus = field(default_factory=lambda: SourceStatus(state=SourceState.OPENING))
    """Where frames come from."""
    sinks: tuple[SinkCounts, ...] = ()
    """Where reports go."""
    faults: Mapping[str, Any] = field(default_factory=dict)
    """What went wrong while it went on, see `Session.faults`; JSON types."""
    remarks: tuple[str, ...] = ()
    """What is odd about the camera, a line each."""
    last_error: str | None = None
    """The newest error that did not end it, one line."""

    @property
    def words(self) -> str:
        """One line for people: states, rate, source."""
        objects = ", ".join(f"{item.name} {item.state.value}" for item in self.objects) or "no objects"
        source = self.source.state.value + (f" ({self.source.detail})" if self.source.detail else "")
        return f"{self.phase.value}: {objects}; {self.rate_hz:.1f} Hz; source {source}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Something to be done between frames."""

    name: str
    """``add``, ``remove``, ``relocalise``, ``reload``, or what a part of the service registered."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """JSON types."""
    reply: Future[dict[str, Any]] = field(default_factory=Future)
    """The answer, JSON types; or a `StormEdgeError`, whose line says what was wrong."""


class ServiceState:
    """The newest `Snapshot`, and the commands that wait; for any thread.

    Args:
        most_commands: Commands that may wait.
    """

    def __init__(self, most_commands: int = 64) -> None:
        self._lock = threading.Lock()
        self._snapshot, self._published_s = Snapshot(), time.monotonic()
        self._commands: queue.Queue[Command] = queue.Queue(maxsize=most_commands)

    @property
    def snapshot(self) -> Snapshot:
        """The newest one."""
        with self._lock:
            return self._snapshot

    @property
    def age_s(self) -> float:
        """Since the newest snapshot was told; grows while the loop hangs [s]."""
        with self._lock:
            return time.monotonic() - self._published_s

    def publish(self, snapshot: Snapshot) -> None:
        """The loop tells how things are."""
        with self._lock:
            self._snapshot, self._published_s = snapshot, time.monotonic()

    def submit(self, name: str, arguments: Mapping[str, Any] | None = None) -> Command:
        """Have a command executed between frames; wait for its ``reply`` with a timeout.

        Raises:
            queue.Full: Too many wait already.
        """
        command = Command(name=name, arguments=arguments or {})
        self._commands.put_nowait(command)
        return command

    def next_command(self) -> Command | None:
        """For the loop: the oldest command that waits; None where there is none."""
        try:
            return self._commands.get_nowait()
        except queue.Empty:
            return None
