"""Keeps what the camera saw around every loss: the loop hands in frames and goes on, two threads do the rest.

The first thread packs frames and keeps the last seconds (`loss_window`); the second writes clips (`mcap.writer`) and
keeps the folder within its limits (`loss_folder`). Neither ever makes the loop wait: frames that are not packed in
time, and clips that come while two others are in the way, are given up and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from storm_edge import __version__
from storm_edge.errors import StormEdgeError
from storm_edge.frame import Frame
from storm_edge.live.sinks import FrameReport
from storm_edge.live.track_report import TrackState
from storm_edge.mcap import ros_types
from storm_edge.mcap.packed_frame import PackedFrame, Packer
from storm_edge.mcap.writer import write_mcap
from storm_edge.service.beside_sections import LossSection
from storm_edge.service.loss_folder import LossFolder
from storm_edge.service.loss_window import Clip, LossWindow

_log = logging.getLogger(__name__)

_MOST_WAITING = 16
"""Frames that wait to be packed at most; half a second of a camera, 34 MiB."""
_SHARE_OF_PACKED = 1.2
"""Room that a file may take over what its frames take in memory; other compression, and the other messages."""
_TURN_S = 0.2
"""How often the end of a clip is looked for while no frame comes [s]."""


@dataclass(frozen=True, kw_only=True)
class RecorderCounts:
    """What became of the losses so far."""

    written: int = 0
    """Files."""
    failed: int = 0
    """Files that could not be written."""
    given_up: int = 0
    """Clips for which there was no time."""
    dropped_frames: int = 0
    """Frames that were not packed in time, and are missing in the files."""
    kept_s: float = 0.0
    """How much of the past is kept now [s]."""
    kept_mib: float = 0.0
    """Memory that it takes [MiB]."""
    disk_mib: float = 0.0
    """What all files take [MiB]."""
    last_file: str | None = None
    """Name of the newest file."""
    last_error: str | None = None
    """Why the newest file that failed did, one line; None once one was written after it."""


class LossRecorder:
    """Records losses into a folder; to be closed.

    Args:
        folder: Where files go.
        section: What is kept.

    Raises:
        OutputError: Nothing can be written there.
        BackendError: A package is missing.
    """

    def __init__(self, folder: Path, section: LossSection) -> None:
        ros_types.require_packages("recording of losses")
        self._folder = LossFolder(folder, section)
        self._window = LossWindow(section)
        self._packer = Packer(section.colour)
        self._waiting: deque[tuple[Frame, FrameReport, int]] = deque(maxlen=_MOST_WAITING)
        self._asked: list[str] = []
        self._changed = threading.Condition()
        self._is_ending = False
        self._clips: queue.Queue[Clip | None] = queue.Queue(maxsize=1)
        self._counts = RecorderCounts(disk_mib=self._folder.used_bytes / 2**20)
        # Wall time of the start and what passed since then: a clock that leaps changes no order and no length.
        self._wall_less_monotonic_ns = time.time_ns() - time.monotonic_ns()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in ((self._pack_all, "pack frames"), (self._write_all, "write losses"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def folder(self) -> Path:
        """Where files go."""
        return self._folder.path

    @property
    def counts(self) -> RecorderCounts:
        """What became of the losses so far; for any thread."""
        with self._changed:
            return self._counts

    def add(self, frame: Frame, report: FrameReport) -> None:
        """A frame and what was reported of it; returns at once. The frame's arrays are read later."""
        arrived_ns = self._now_ns()
        with self._changed:
            if len(self._waiting) == _MOST_WAITING:
                self._count(dropped_frames=self._counts.dropped_frames + 1)
            self._waiting.append((frame, report, arrived_ns))
            self._changed.notify()

    def record(self, reason: str = "asked") -> None:
        """Write a file around now, as if something had been lost."""
        with self._changed:
            self._asked.append(reason)

    def close(self, timeout_s: float) -> bool:
        """Write what is in progress as it is, as far as the time [s] suffices.

        Returns:
            Whether all was written; a file that was not done in time is removed when the service starts again.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        for thread in self._threads:
            thread.join(max(until_s - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _now_ns(self) -> int:
        return time.monotonic_ns() + self._wall_less_monotonic_ns

    def _count(self, **changes: object) -> None:
        with self._changed:
            self._counts = replace(self._counts, **changes)  # type: ignore[arg-type]

    def _pack_all(self) -> None:
        last_ns = 0
        while (item := self._next()) is not None or not self._is_ending:
            if item is None:
                if not self._window.is_empty:
                    self._window.ask(self._take_asked())
                self._hand_over(self._window.end_by(self._now_ns()))
                continue
            frame, report, arrived_ns = item
            last_ns = max(arrived_ns, last_ns + 1)
            try:
                packed = self._packed(frame, report, last_ns)
            except Exception:  # the next frame is kept all the same
                _log.exception("frame %d is not kept", frame.index)
                self._count(dropped_frames=self._counts.dropped_frames + 1)
                continue
            self._hand_over(self._window.add(packed, [*_lost(report), *self._take_asked()]))
            self._count(kept_s=self._window.kept_s, kept_mib=self._window.kept_mib)
        self._hand_over(self._window.end(), is_last=True)
        self._clips.put(None)

    def _next(self) -> tuple[Frame, FrameReport, int] | None:
        """The next frame; None where none came for a while, or is to come."""
        with self._changed:
            if not self._waiting and not self._is_ending:
                self._changed.wait(_TURN_S)
            return self._waiting.popleft() if self._waiting else None

    def _take_asked(self) -> list[str]:
        with self._changed:
            asked, self._asked = self._asked, []
        return asked

    def _packed(self, frame: Frame, report: FrameReport, arrived_ns: int) -> PackedFrame:
        reason = report.skipped_reason
        return self._packer.pack(
            frame,
            arrived_ns=arrived_ns,
            skipped=None if reason is None else reason.key,
            lines=tuple(track.line() for track in report.tracks),
            poses=tuple(
                (track.object_id, track.T_cam_obj)
                for track in report.tracks
                if track.state is TrackState.TRACKING and track.T_cam_obj is not None
            ),
        )

    def _hand_over(self, clip: Clip | None, *, is_last: bool = False) -> None:
        if clip is None:
            return
        try:
            self._clips.put(clip, block=is_last)
        except queue.Full:
            _log.warning("a loss of %s is not recorded: two others are being written", ", ".join(clip.reasons))
            self._count(given_up=self._counts.given_up + 1)

    def _write_all(self) -> None:
        while (clip := self._clips.get()) is not None:
            try:
                path = self._write(clip)
            except StormEdgeError as error:
                _log.warning("a loss of %s is not recorded: %s", ", ".join(clip.reasons), error)
                self._count(failed=self._counts.failed + 1, last_error=str(error))
            except Exception as error:  # the next loss is recorded all the same
                _log.exception("a loss of %s is not recorded", ", ".join(clip.reasons))
                self._count(failed=self._counts.failed + 1, last_error=repr(error))
            else:
                _log.warning("%s: recorded", path)
                self._count(
                    written=self._counts.written + 1,
                    disk_mib=self._folder.used_bytes / 2**20,
                    last_file=path.name,
                    last_error=None,
                )

    def _write(self, clip: Clip) -> Path:
        self._folder.make_room(round(_SHARE_OF_PACKED * clip.size_bytes))
        about = {
            "made_by": f"storm-edge {__version__} run",
            "reasons": clip.reasons,
            "frames": len(clip.frames),
            "dropped_frames": self._counts.dropped_frames,
            "colour": clip.frames[0].colour_coding.value,
        }
        path = write_mcap(self._folder.new_name(clip.reasons), clip.frames, about)
        self._folder.make_room(0)
        return path


def _lost(report: FrameReport) -> Sequence[str]:
    return [track.object_id for track in report.tracks if track.state is TrackState.LOST]
