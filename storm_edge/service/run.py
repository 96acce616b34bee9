"""The loop of the service: a frame of the source, a step of the session, a report to every sink, and what was asked.

Every turn is short: the source is polled with a timeout, sinks are queues, objects are made ready beside the loop,
and at most one command is executed. systemd's watchdog is fed by these turns alone, so that a loop that hangs starves
it and a camera that is being recovered does not.

SIGTERM and SIGINT end the loop, SIGHUP has it read the objects of its profile again. `build.open_service` makes a
service of a profile.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from storm_edge.errors import RunFault, StormEdgeError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sources import SourceState
from storm_edge.live.track_report import FrameResult, Track
from storm_edge.service.commands import Commands, Handler
from storm_edge.service.parts import ServiceParts
from storm_edge.service.signals import signals_to
from storm_edge.service.state import ObjectStatus, Phase, Snapshot
from storm_edge.service.turns import Turns

_log = logging.getLogger(__name__)

POLL_S = 0.1
"""Longest wait for a frame in a turn [s]."""
STOP_WITHIN_S = 1.8
"""From a signal to the end of the process at most [s]; what hangs then is left."""
PUBLISH_EVERY_S = 0.5
"""How often faults and rates are told; states are with every frame [s]."""


class Service:
    """Runs until its source ends, it is told to stop, or it cannot go on.

    Args:
        parts: What it is made of; closed at the end of `run`.
    """

    def __init__(self, parts: ServiceParts) -> None:
        self.parts, self.state = parts, parts.state
        self._stopping = threading.Event()
        self._reloading = threading.Event()
        self._turns = Turns()
        self._began_s = time.monotonic()
        self._published_s = 0.0
        self._snapshot = Snapshot()
        self._is_begun = False
        self._source_state = SourceState.OPENING
        self._on_report: list[Callable[[Frame, FrameReport], None]] = []
        self._at_end: list[Callable[[float], object]] = []
        self._commands = Commands(parts)

    def handle(self, name: str, handler: Handler) -> None:
        """Have commands of that name executed; for parts of the service."""
        self._commands.register(name, handler)

    def watch(self, watcher: Callable[[Frame, FrameReport], None]) -> None:
        """Have every frame and its report shown to somebody who must return at once; for parts of the service."""
        self._on_report.append(watcher)

    def at_end(self, close: Callable[[float], object]) -> None:
        """Have a part closed when the loop has ended; it is given the seconds that it may take."""
        self._at_end.append(close)

    def stop(self) -> None:
        """End after this turn; from any thread."""
        self._stopping.set()

    def reload(self) -> None:
        """Read the objects of the profile again after this turn; from any thread."""
        self._reloading.set()

    def run(self) -> None:
        """Until the end.

        Raises:
            StormEdgeError: It cannot go on; one line.
        """
        with signals_to(self._on_signal), self._closing():
            self.parts.notifier.status("starting: compiling kernels, which takes minutes the first time")
            self.parts.compile_kernels()
            self._is_begun = True
            self.parts.source.open()
            for sink in self.parts.sinks:
                sink.start()
            while not self._stopping.is_set() and self._turn():
                pass

    def _turn(self) -> bool:
        """One round; whether there may be another."""
        self._do_what_was_asked()
        arrived = self.parts.source.poll(POLL_S)
        if arrived is not None:
            self._work_on(arrived)
        elif self.parts.source.status.state is SourceState.ENDED:
            _log.info("the source has ended")
            return False
        self._publish(is_frame=arrived is not None)
        self.parts.notifier.turn()
        return True

    def _work_on(self, arrived: Frame | SkipReason) -> None:
        began_s = time.monotonic()
        if isinstance(arrived, SkipReason):
            self.parts.session.skip(-1, arrived)
            report = FrameReport(frame=-1, stamp_ns=0, skipped_reason=arrived)
        else:
            result = self.parts.session.step(arrived, next_due_s=began_s + 1.0 / self.parts.rate_hz)
            report = _report(arrived, result)
        for sink in self.parts.sinks:
            sink.offer(report)
        if isinstance(arrived, Frame):
            for watcher in self._on_report:
                watcher(arrived, report)
        self._turns.add((time.monotonic() - began_s) * 1e3, is_skipped=report.skipped_reason is not None)
        if report.skipped_reason is None:
            self._set(objects=tuple(_status(track) for track in report.tracks))
            if not self._commands.is_ready:
                self._commands.is_ready = True
                self._set(phase=Phase.RUNNING)
                self._publish(is_frame=True, at_once=True)
                self.parts.notifier.ready()

    def _on_signal(self, number: int) -> bool:
        """Note a signal for the next turn; whether it was. Before there are turns those that end a process do so."""
        if number == signal.SIGHUP:
            self.reload()
        elif self._is_begun:
            self.stop()
        return number == signal.SIGHUP or self._is_begun

    def _do_what_was_asked(self) -> None:
        if self._reloading.is_set():
            self._reloading.clear()
            try:
                self._commands.reload()
            except StormEdgeError as error:
                _log.warning("nothing was reloaded: %s", error)
        self._commands.do_next()

    def _hangs(self) -> None:
        remedy = "see what the camera, a sink or the device is doing"
        got, expected = "something that does not come back", f"all ended within {STOP_WITHIN_S:g} s"
        self.parts.on_hang(RunFault(mismatch("end of the service", got, expected, remedy)))

    def _set(self, **changes: Any) -> None:
        self._snapshot = replace(self._snapshot, **changes)

    def _publish(self, *, is_frame: bool, at_once: bool = False) -> None:
        """Tell the others: states with every frame, the rest now and then."""
        now_s = time.monotonic()
        if at_once or now_s - self._published_s >= PUBLISH_EVERY_S:
            self._published_s = now_s
            status = self.parts.source.status
            if status.state is not self._source_state:
                _log.warning("source: %s -> %s %s", self._source_state.value, status.state.value, status.detail)
                self._source_state = status.state
            self._set(
                rate_hz=self._turns.rate_hz,
                step_ms=self._turns.step_ms,
                source=status,
                sinks=tuple(sink.counts for sink in self.parts.sinks),
                faults=self.parts.session.faults,
                remarks=tuple(self.parts.session.remarks),
                last_error=self._commands.last_error,
                uptime_s=now_s - self._began_s,
            )
            self.parts.notifier.status(self._snapshot.words)
        elif not is_frame:
            return
        self._set(frames=self._turns.used, skipped_frames=self._turns.skipped)
        self.state.publish(self._snapshot)

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """End everything within `STOP_WITHIN_S`, however the loop ended."""
        parts = self.parts
        try:
            yield
        finally:
            parts.notifier.stopping()
            self._set(phase=Phase.STOPPING)
            self.state.publish(self._snapshot)
            until_s = time.monotonic() + STOP_WITHIN_S
            hung = threading.Timer(STOP_WITHIN_S, self._hangs)
            hung.daemon = True
            hung.start()
            try:
                self._close_parts(until_s)
            finally:
                hung.cancel()
                parts.notifier.close()

    def _close_parts(self, until_s: float) -> None:
        """End all parts; each may take half of the time that is left."""
        parts = self.parts
        parts.objects.close()
        parts.source.close(STOP_WITHIN_S / 2.0)
        for sink in parts.sinks:
            if not sink.close(max(until_s - time.monotonic(), 0.0) / 2.0):
                _log.warning("%s did not take what was left for it", sink.counts.name)
        for close in self._at_end:
            close(max(until_s - time.monotonic(), 0.0) / 2.0)
        parts.session.close()


def _report(frame: Frame, result: FrameResult) -> FrameReport:
    return FrameReport(
        frame=frame.index,
        stamp_ns=frame.stamp_ns,
        skipped_reason=result.skipped_reason,
        tracks=tuple(result.tracks),
    )


def _status(track: Track) -> ObjectStatus:
    return ObjectStatus(
        name=track.object_id, state=track.state, confidence=track.confidence, pose_age_ms=track.pose_age_ms
    )
