"""What runs next: tracking, verifying, locating, and whether a chunk still fits before the next frame.

Pure decisions: no clock, no thread, no stream. Every call is told the time, so that the same calls give the same
schedule; whoever has a worker asks `Scheduler.choose`, does what it was granted and reports `Scheduler.ended`. On a
CPU that is `background` with its thread; a worker that does everything in one place works alike (see the tests).

A chunk of verifying or locating begins in the gap between a tracked frame and the next one, and only if its kind,
by its measured times, ends before that frame is due. A kind without a measurement fits nowhere. So that neither
waits for ever, a lane that so many frames went past begins a chunk before the next one is tracked, whatever its
length; beside it if two workers have no moment between frames. Without a deadline, before the first frame or after
the frames stopped, chunks begin as they come. Work of one lane takes turns, strictly: a chunk too long for the gap
keeps the shorter ones behind it waiting, or it would never have its turn.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import IntEnum

from storm_edge.live.config import ScheduleConfig


class Lane(IntEnum):
    """Kinds of work, the most urgent first."""

    TRACK = 0
    """Following the objects into a new frame."""
    VERIFY = 1
    """Judging a track; the answer may be a frame or two late."""
    LOCATE = 2
    """Segmenting and registering what has no pose."""


ALL_LANES = tuple(Lane)


def frames_within(config: ScheduleConfig, lane: Lane) -> int:
    """Most frames begun between two chunks of a lane that waits."""
    return config.verify_within if lane is Lane.VERIFY else config.locate_within


class ChunkTimes:
    """Recent times of every kind of chunk.

    The first time of a kind pays for loading and compiling: it counts until there is a second one only.
    """

    def __init__(self, config: ScheduleConfig) -> None:
        self._config = config
        self._recent_s: dict[str, deque[float]] = {}
        self._cold: set[str] = set()

    def add(self, kind: str, spent_s: float) -> None:
        """A chunk of this kind took so long [s]."""
        if kind not in self._recent_s:
            self._recent_s[kind] = deque(maxlen=self._config.recent)
            self._cold.add(kind)
        elif kind in self._cold:
            self._recent_s[kind].clear()
            self._cold.discard(kind)
        self._recent_s[kind].append(spent_s)

    def expected_s(self, kind: str) -> float | None:
        """What the next one is expected to take [s], without margin; None for a kind that was never measured."""
        recent = self._recent_s.get(kind)
        if recent is None:
            return None
        return sorted(recent)[math.ceil(self._config.quantile * len(recent)) - 1]


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Something that may begin now; report its end with `Scheduler.ended`."""

    lane: Lane
    """Whose work."""
    task: int
    """The number it was submitted with; for tracking the number of the frame."""
    kind: str
    """The kind of this chunk."""
    began_s: float
    """When it was granted [s]."""
    deadline_s: float | None
    """When the next frame is due [s]; None where no deadline holds."""
    forced: bool
    """It begins because its lane waited long enough, not because it fits."""


@dataclass
class _Queue:
    """What waits in one lane."""

    tasks: deque[tuple[int, str]] = field(default_factory=deque)  # number and kind of the next chunk
    passed: int = 0  # frames begun since its last chunk began, while something waited
    running: int = 0


class Scheduler:
    """Decides what begins. One object for all workers; calls must not overlap (the caller locks).

    Args:
        config: Margins and bounds; the default ones when None.
    """

    def __init__(self, config: ScheduleConfig | None = None) -> None:
        self.config = config or ScheduleConfig()
        self.times = ChunkTimes(self.config)
        self._queues = {lane: _Queue() for lane in (Lane.VERIFY, Lane.LOCATE)}
        self._newest = -1
        self._pending: int | None = None
        self._tracking = False
        self._due_s: float | None = None
        self._silent_from_s = -math.inf
        self._skipped = 0

    @property
    def skipped(self) -> int:
        """Frames that came and are never tracked, because a newer one was there."""
        return self._skipped

    def submit(self, lane: Lane, task: int, kind: str) -> None:
        """Work waits for its turn; ``task`` is a number of its own, ``kind`` what its first chunk is.

        Raises:
            ValueError: Tracking is not submitted, its frames arrive.
        """
        if lane is Lane.TRACK:
            raise ValueError("frames arrive by `arrive`, they are not submitted")
        queue = self._queues[lane]
        if not queue.tasks:
            queue.passed = 0
        queue.tasks.append((task, kind))

    def withdraw(self, task: int) -> None:
        """Forget work that waits; what runs, or is unknown, is left alone."""
        for queue in self._queues.values():
            queue.tasks = deque(entry for entry in queue.tasks if entry[0] != task)

    def arrive(self, frame: int, now_s: float, next_due_s: float | None = None) -> int | None:
        """A frame is there; returns the number of the one that will not be tracked for it, None if none.

        The newest wins: a frame still waiting gives way. One that is not newer than all before it is itself skipped.

        Args:
            frame: Its number.
            now_s: Time [s].
            next_due_s: When the next one is expected [s]; None where nobody knows.
        """
        if frame <= self._newest:
            self._skipped += 1
            return frame
        overtaken = self._pending
        if overtaken is not None:
            self._skipped += 1
        else:
            self._silent_from_s = max(self._silent_from_s, now_s + self.config.silence_s)
        self._newest = self._pending = frame
        self._due_s = next_due_s
        return overtaken

    def choose(self, now_s: float, lanes: Collection[Lane] = ALL_LANES) -> Grant | None:
        """What a worker for these lanes is to begin now, None to wait: see `wait_s`."""
        deadline_s = self._deadline_s(now_s)
        for lane in (Lane.VERIFY, Lane.LOCATE):
            if lane in lanes and self._is_overdue(lane):
                head_fits = self._is_gap(now_s) and self._fits(self._queues[lane].tasks[0][1], now_s, deadline_s)
                return self._begin(lane, now_s, deadline_s, forced=not head_fits)
        if Lane.TRACK in lanes and self._pending is not None and not self._tracking:
            return self._begin_track(self._pending, now_s)
        if not self._is_gap(now_s):
            return None
        for lane in (Lane.VERIFY, Lane.LOCATE):
            tasks = self._queues[lane].tasks
            if lane in lanes and tasks and self._fits(tasks[0][1], now_s, deadline_s):
                return self._begin(lane, now_s, deadline_s, forced=False)
        return None

    def wait_s(self, now_s: float) -> float | None:
        """After how long `choose` may answer otherwise though nothing was reported [s]; None for never."""
        waits = any(queue.tasks for queue in self._queues.values())
        if not waits or self._tracking or self._is_silent(now_s):
            return None
        return self._silent_from_s - now_s

    def ended(self, grant: Grant, now_s: float, next_kind: str | None = None) -> None:
        """What was granted is over.

        Args:
            grant: What `choose` returned.
            now_s: Time [s].
            next_kind: The kind of the next chunk of the same work, which goes to the end of its lane; None if there
                is no more.
        """
        self.times.add(grant.kind, now_s - grant.began_s)
        self.dropped(grant, now_s)
        if next_kind is not None:
            self.submit(grant.lane, grant.task, next_kind)

    def dropped(self, grant: Grant, now_s: float) -> None:
        """What was granted is not done, or nobody waits for it any more: its time says nothing."""
        if grant.lane is not Lane.TRACK:
            self._queues[grant.lane].running -= 1
            return
        self._tracking = False
        self._note_tracking(now_s)

    def _begin_track(self, frame: int, now_s: float) -> Grant:
        self._pending, self._tracking = None, True
        self._note_tracking(now_s)
        for queue in self._queues.values():
            if queue.tasks and not queue.running:
                queue.passed += 1
        return Grant(lane=Lane.TRACK, task=frame, kind="track", began_s=now_s, deadline_s=self._due_s, forced=False)

    def _begin(self, lane: Lane, now_s: float, deadline_s: float | None, *, forced: bool) -> Grant:
        queue = self._queues[lane]
        task, kind = queue.tasks.popleft()
        queue.passed = 0
        queue.running += 1
        return Grant(lane=lane, task=task, kind=kind, began_s=now_s, deadline_s=deadline_s, forced=forced)

    def _is_overdue(self, lane: Lane) -> bool:
        """Whether a lane's turn has come whatever fits: between two frames, or, where nobody paused there, now."""
        queue = self._queues[lane]
        within = frames_within(self.config, lane)
        return bool(queue.tasks) and (queue.passed > within or (queue.passed == within and not self._tracking))

    def _note_tracking(self, now_s: float) -> None:
        due_s = now_s if self._due_s is None else max(now_s, self._due_s)
        self._silent_from_s = due_s + self.config.silence_s

    def _is_silent(self, now_s: float) -> bool:
        """Whether nobody tracks any frames: none came yet, or they stopped."""
        return not self._tracking and now_s >= self._silent_from_s

    def _is_gap(self, now_s: float) -> bool:
        return self._is_silent(now_s) or (self._pending is None and not self._tracking)

    def _deadline_s(self, now_s: float) -> float | None:
        return None if self._is_silent(now_s) else self._due_s

    def _fits(self, kind: str, now_s: float, deadline_s: float | None) -> bool:
        if deadline_s is None:
            return True
        expected_s = self.times.expected_s(kind)
        if expected_s is None:
            return False
        return now_s + self.config.margin * expected_s + self.config.slack_s <= deadline_s
