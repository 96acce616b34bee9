"""Who listens to the service: one who judges all it gets, one who gets into trouble, and what stands for systemd."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.stage import ENDPOINT, OBJECT, WRONG_FROM, Stage

STUCK_CLIENT = """
import socket, sys, zmq
subscriber = zmq.Context().socket(zmq.SUB)
subscriber.setsockopt(zmq.SUBSCRIBE, b"")
subscriber.connect(sys.argv[1])
stream = socket.socket(socket.AF_UNIX)
stream.connect(sys.argv[2])
stream.setblocking(False)
while True:
    subscriber.recv_multipart()
    try:
        while stream.recv(65536):
            pass
    except BlockingIOError:
        pass
"""
"""A program with a subscription and a connection to the socket."""


@dataclass
class Judged:
    """What came of the reports so far."""

    reports: int = 0
    """Reports that came."""
    missing: int = 0
    """That did not, by their sequence."""
    tracking: int = 0
    """Of the object that is there."""
    wrong: list[dict[str, Any]] = field(default_factory=list)
    """Poses told as TRACKING that are wrong, or of an object that is not there."""
    worst: float = 0.0
    """Largest error of a pose told as TRACKING, ADD over the diameter."""
    longest_gap_s: float = 0.0
    """Longest time without a report [s]."""
    last_at_s: float = 0.0
    """When the newest report came [s]."""
    last_tracking_at_s: float = 0.0
    """When the newest one with a pose came [s]."""


class GoodListener(threading.Thread):
    """Keeps up with all reports, and holds them against the truth; `judged` may be read meanwhile.

    Args:
        stage: What is true.
        lines: A file that gets a line for each object of each report, with its error: what led to a wrong pose.
    """

    def __init__(self, stage: Stage, lines: Path) -> None:
        super().__init__(name="good listener", daemon=True)
        self._stage, self._lines = stage, lines
        self._ending = threading.Event()
        self.judged = Judged()

    def run(self) -> None:
        """Until `end`."""
        import zmq

        with (
            zmq.Context() as context,
            context.socket(zmq.SUB) as subscriber,
            self._lines.open("w", encoding="utf-8") as lines,
        ):
            subscriber.setsockopt(zmq.SUBSCRIBE, b"")
            subscriber.setsockopt(zmq.RCVHWM, 0)
            subscriber.connect(ENDPOINT.format(folder=self._stage.folder))
            last: int | None = None
            while not self._ending.is_set():
                if not subscriber.poll(100):
                    continue
                message = json.loads(subscriber.recv_multipart()[1])
                self.judged.missing += 0 if last is None else message["sequence"] - last - 1
                last = message["sequence"]
                for item in self._judge(message):
                    lines.write(json.dumps(item) + "\n")

    def end(self) -> None:
        """Stop to listen."""
        self._ending.set()
        self.join()

    def _judge(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        judged, now_s = self.judged, time.monotonic()
        if judged.last_at_s:
            judged.longest_gap_s = max(judged.longest_gap_s, now_s - judged.last_at_s)
        judged.last_at_s = now_s
        judged.reports += 1
        for item in message["objects"]:
            is_told, is_there = item["state"] == "TRACKING", item["object"] == OBJECT
            error = self._stage.error(message["frame"], item["T_cam_obj"]) if is_told and is_there else None
            row = {"frame": message["frame"], "object": item["object"], "error": error and round(error, 3)}
            told = {name: item[name] for name in ("state", "confidence", "pose_age_ms", "latency_ms")}
            yield {"at_s": round(now_s, 3), **row, **told}
            if not is_told:
                continue
            if error is None:
                judged.wrong.append(row)
                continue
            judged.tracking += 1
            judged.last_tracking_at_s = now_s
            judged.worst = max(judged.worst, error)
            if error > WRONG_FROM:
                judged.wrong.append(row)


class Systemd(threading.Thread):
    """Stands for systemd: takes what the service tells, and notes how long its watchdog was not fed.

    Args:
        path: Of its socket.
        watchdog_s: Within which it wants to hear [s].
    """

    def __init__(self, path: Path, watchdog_s: float) -> None:
        super().__init__(name="systemd", daemon=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.5)
        self._path, self._watchdog_s = path, watchdog_s
        self._ending = threading.Event()
        self._fed_s: float | None = None
        self.ready = threading.Event()
        self.longest_unfed_s = 0.0
        self.starved = 0

    @property
    def environment(self) -> dict[str, str]:
        """Of the service; heaps as `jetson/storm-edge.service` has them."""
        return {
            "NOTIFY_SOCKET": str(self._path),
            "WATCHDOG_USEC": str(round(self._watchdog_s * 1e6)),
            "MALLOC_ARENA_MAX": "2",
        }

    def run(self) -> None:
        """Until `end`."""
        while not self._ending.is_set():
            try:
                message = self._socket.recv(65536)
            except TimeoutError:
                continue
            if message.startswith(b"READY"):
                self.ready.set()
            if message.startswith(b"WATCHDOG"):
                self._fed()

    def end(self) -> None:
        """Stop to listen."""
        self._ending.set()
        self.join()
        self._socket.close()

    def _fed(self) -> None:
        now_s = time.monotonic()
        if self._fed_s is not None and self.ready.is_set():
            unfed_s = now_s - self._fed_s
            self.longest_unfed_s = max(self.longest_unfed_s, unfed_s)
            self.starved += unfed_s > self._watchdog_s
        self._fed_s = now_s


class TroubledListener:
    """A program that listens to both, to be stopped and killed; started anew when it is gone.

    Args:
        stage: Where the service is.
    """

    def __init__(self, stage: Stage) -> None:
        endpoint = ENDPOINT.format(folder=stage.folder)
        self._command = [sys.executable, "-c", STUCK_CLIENT, endpoint, str(stage.state / "poses.sock")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Listen, if it does not."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def end(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
