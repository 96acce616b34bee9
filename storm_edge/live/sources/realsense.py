"""A RealSense camera as a source: a process of its own, watched, and started anew when it is silent.

Opening a camera that is not there holds the interpreter for 15 s inside the library, and stopping one may never come
back; so all of the library is in a process (`camera_process`), frames come through shared memory (`camera_link`), and
what is tried when there are none is decided by `recovery_ladder`. What is wrong at the first start is an error at
once; later the camera is waited for.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from storm_edge.errors import BackendError, RunFault, mismatch
from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.sources import SourceState, SourceStatus
from storm_edge.live.sources.camera_link import CameraImage, FrameSlots, Link
from storm_edge.live.sources.config import CameraConfig
from storm_edge.live.sources.recovery_ladder import RecoveryLadder, Rung

_log = logging.getLogger(__name__)

OPENER = "storm_edge.live.sources.camera_process:open_realsense"
"""What opens the camera in its process: ``module:function``."""


@dataclass(frozen=True, kw_only=True)
class RealSenseOptions:
    """Which camera, and how."""

    serial: str | None = None
    """Its serial number; None takes the only one."""
    file: str | None = None
    """A recording of librealsense (.db3) in place of a camera."""
    usb2: str = "refuse"
    """``accept`` takes a camera on a USB 2 port."""
    size_px: tuple[int, int]
    """Height and width of colour [px]; depth is brought onto it."""
    rate_hz: float
    """Frames per second."""


class RealSenseSource:
    """A `LiveSource`; `open`, `poll` and `close` are called by one thread, which must outlive the camera process.

    Args:
        options: Which camera.
        config: When it is silent, and how long what may take.
        opener: What opens it in its process, see `OPENER`.
        now: The clock [s].
    """

    def __init__(
        self,
        options: RealSenseOptions,
        config: CameraConfig | None = None,
        *,
        opener: str = OPENER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._config, self._opener, self._now = options, config or CameraConfig(), opener, now
        self._ladder = RecoveryLadder(self._config, now())
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._slots: FrameSlots | None = None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._told: dict[str, Any] = {"camera": "", "readings": {}, "counts": {}}
        self._error = ""
        self._has_ended = False
        self._lock_of: tuple[str, int] | None = None  # serial number and open file, see `realsense_device.claim`

    @property
    def process_id(self) -> int | None:
        """Of the camera process; None where there is none."""
        return None if self._process is None else self._process.pid

    def open(self) -> None:
        """Start the camera process.

        Raises:
            RunFault: The system does not start one.
        """
        self._ladder = RecoveryLadder(self._config, self._now())
        try:
            self._start()
        except OSError as error:
            self._stop(0.0)
            remedy = "see to the memory, processes and open files that the service may have"
            raise RunFault(mismatch("camera process", f"no start ({error})", "a new process", remedy)) from error

    def poll(self, timeout_s: float) -> Frame | SkipReason | None:
        """The newest frame; see `LiveSource.poll`.

        Raises:
            BackendError: At the first start: there is no such camera, or it is not as it must be.
            RunFault: It was silent for so long that there is no hope.
        """
        until_s = self._now() + timeout_s
        newest: dict[str, Any] | None = None
        is_gone = False
        while self._link is not None:
            try:
                message = self._link.receive(0.0 if newest else until_s - self._now())
            except EOFError:
                is_gone = True
                break
            if message is None:
                break
            if "frame" not in message:
                self._take_note(message)
                continue
            if newest is not None:  # the loop was busy meanwhile
                self._counts["passed_over"] += 1
                self._link.send(free=newest["frame"])
            newest = message
        frame = None if newest is None else self._frame(newest)
        if frame is not None:
            self._recovered()
        if self._has_ended:
            self._stop(self._config.end_s)
            return frame
        if is_gone:  # what it had written before is used all the same
            self._gone()
        self._do_what_is_due()
        if self._link is None and frame is None:
            time.sleep(max(min(until_s - self._now(), self._config.wait_s), 0.0))
        return frame

    @property
    def status(self) -> SourceStatus:
        """How it is."""
        with self._lock:
            told, error = self._told, self._error
        now_s, rung = self._now(), self._ladder.rung
        if self._has_ended:
            return SourceStatus(state=SourceState.ENDED, detail=told["camera"], counts=self._all_counts)
        states = {Rung.NONE: SourceState.RUNNING, Rung.START: SourceState.OPENING}
        state, words = states.get(rung, SourceState.RECOVERING), [told["camera"]]
        silence_s = self._ladder.silence_s(now_s)
        if state is SourceState.RECOVERING:
            words.append(f"{rung.value}, silent for {silence_s:.1f} s")
        elif state is SourceState.RUNNING and silence_s > self._config.stall_s:
            state = SourceState.STALLED
        if error and rung is not Rung.NONE:
            words.append(error)
        detail = "; ".join(word for word in words if word)
        return SourceStatus(state=state, detail=detail, counts=self._all_counts, readings=told["readings"])

    @property
    def _all_counts(self) -> dict[str, int]:
        with self._lock:
            return {**self._told["counts"], **self._counts}

    def close(self, timeout_s: float) -> None:
        """End the camera process, by force where it does not end by itself."""
        self._stop(min(self._config.end_s, timeout_s))
        self._keep(None)

    def _keep(self, lock_of: tuple[str, int] | None) -> None:
        """Keep a camera to this service, while its process is started anew too; another one is let go of."""
        if self._lock_of is not None:
            os.close(self._lock_of[1])
        self._lock_of = lock_of

    def _frame(self, message: Mapping[str, Any]) -> Frame | None:
        slots, link = self._slots, self._link
        assert slots is not None
        assert link is not None
        image = slots.read(message["frame"], message["sequence"])
        link.send(free=message["frame"])
        if image is None:
            self._counts["torn"] += 1
            return None
        return _as_frame(image)

    def _take_note(self, message: Mapping[str, Any]) -> None:
        """What the process tells of its camera, or why it ends."""
        if "ended" in message:
            self._has_ended = True
            return
        if "locked" in message:
            self._keep((message["locked"], message["file"]))
            return
        if "error" not in message:
            with self._lock:
                self._told = dict(message)
            return
        if not self._ladder.has_seen_frame:
            self._stop(0.0)
            raise BackendError(message["error"])
        with self._lock:
            self._error = message["error"]
        _log.warning("camera process: %s", message["error"])

    def _recovered(self) -> None:
        now_s, rung = self._now(), self._ladder.rung
        if rung not in (Rung.NONE, Rung.START):
            _log.warning("camera: frames again after %.2f s, by %s", self._ladder.silence_s(now_s), rung.value)
        self._ladder.frame(now_s)
        with self._lock:
            self._error = ""

    def _do_what_is_due(self) -> None:
        now_s = self._now()
        process = self._process
        rung = self._ladder.due(now_s, is_alive=process is not None and process.poll() is None)
        if rung is None:
            return
        silence_s = self._ladder.silence_s(now_s)
        if rung is Rung.GIVE_UP:
            self._stop(0.0)
            got = f"no frame for {silence_s:.1f} s, whatever was tried" + (f" ({self._error})" if self._error else "")
            remedy = "see to the camera, its cable and its port"
            raise RunFault(mismatch("RealSense", got, f"one within {self._config.give_up_s:g} s", remedy))
        _log.warning("camera: silent for %.2f s, %s", silence_s, rung.value)
        self._counts[{Rung.SENSORS: "sensor_restarts", Rung.RESET: "resets"}.get(rung, "process_restarts")] += 1
        if rung is Rung.PROCESS:
            self._stop(0.0)
            self._start_anew()
        elif self._link is not None:
            self._link.send(do="restart" if rung is Rung.SENSORS else "reset")

    def _start_anew(self) -> None:
        """Start a camera process; where the system gives none now, it may at the ladder's next step."""
        try:
            self._start()
        except OSError as error:  # no memory, processes or open files are left
            self._stop(0.0)
            _log.warning("camera: its process does not start: %s", error)
            with self._lock:
                self._error = f"its process does not start: {error}"

    def _start(self) -> None:
        config = self._config
        self._slots, memory = FrameSlots.make(self._options.size_px, config.slots)
        self._link, theirs = Link.pair()
        options = asdict(self._options) | {
            "pair_within": config.pair_within,
            "queue": config.slots,
            "opener": self._opener,
            "locked": None if self._lock_of is None else self._lock_of[0],
            "socket": theirs.fileno(),
            "memory": memory.fileno(),
            "config": asdict(config),
        }
        with theirs, memory:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "storm_edge.live.sources.camera_process", json.dumps(options)],
                pass_fds=(theirs.fileno(), memory.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,  # what the library prints must not lie among reports
                start_new_session=True,  # Ctrl-C is for us; we end it
            )

    def _gone(self) -> None:
        """The process has ended, or closed its side."""
        self._stop(0.0)
        if not self._ladder.has_seen_frame:
            got, remedy = "an end without a word", "see the log for what the library said"
            raise BackendError(mismatch("camera process", got, "frames", remedy))

    def _stop(self, grace_s: float) -> None:
        """End the process; what does not end even when it is killed is left, and told."""
        process, self._process = self._process, None
        if self._link is not None:
            self._link.close()  # which tells it
            self._link = None
        if process is not None:
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                try:
                    process.wait(self._config.end_s)
                except subprocess.TimeoutExpired:
                    self._counts["processes_left"] += 1
                    _log.warning("camera process %d does not end, even when it is killed", process.pid)
        if self._slots is not None:
            self._slots.close()
            self._slots = None


def _as_frame(image: CameraImage) -> Frame:
    depth_m = np.multiply(image.depth, np.float32(image.depth_unit_m), dtype=np.float32)
    return Frame(rgb=image.rgb, depth_m=depth_m, K=image.K, stamp_ns=image.stamp_ns, index=image.number)
