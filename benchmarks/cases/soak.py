"""The service at 30 Hz for a while, with a fault every 20 s: what crashes, what is told wrongly, what comes back.

    python -m benchmarks run soak [--minutes 20] [--every 20] [--frames 75] [--keep FOLDER]

The service runs in a process of its own, with its camera process, over rendered pictures whose truth is known: the
scene of `storm-edge demo`, played to and fro; with ``--frames 150`` the mug is hidden once each way. Every ``every``
seconds something goes wrong (`benchmarks.soak.faults`). Every report is held against the truth: a pose of TRACKING is
wrong where its ADD is above a tenth of the diameter, and so is any of an object that is not there. A fault is
recovered when the mug is TRACKING again before the next one; what the service counted meanwhile is in the rows. The
disk is filled where the right to mount a small one is there. Memory is the least of each minute
(`benchmarks.soak.memory`). `cores_waited_for` says how far the machine was too busy with others for the service:
a search that needs 3 s of a core takes a minute where it gets a twentieth of one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.soak.faults import Fault, Faults, told
from benchmarks.soak.listeners import GoodListener, Systemd, TroubledListener
from benchmarks.soak.memory import memory_figures
from benchmarks.soak.stage import Stage, make_stage
from storm_edge.errors import RunFault, mismatch

WATCHDOG_S = 30.0
"""As in `jetson/storm-edge.service`."""
START_S = 180.0
STOP_S = 2.0
_DISK_MIB = 96
_SAMPLE_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class SoakOptions(RecordOptions):
    """How long, and how rough."""

    minutes: Annotated[float, typer.Option(min=0.1, help="How long, after the start [min].")] = 20.0
    every: Annotated[float, typer.Option(min=5.0, help="From one fault to the next [s].")] = 20.0
    frames: Annotated[int, typer.Option(min=30, max=150, help="Pictures that are played to and fro.")] = 75
    keep: Annotated[
        Path | None, typer.Option(help="Folder for the service's log and all reports.", show_default=False)
    ] = None


@case(record="soak")
def soak(options: SoakOptions) -> Outcome:
    """Run the service, have something go wrong every now and then, and say what came of it."""
    with tempfile.TemporaryDirectory() as temporary:
        stage = make_stage(Path(temporary) / "soak", options.frames)
        log = (options.keep or Path(temporary)) / "service.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with _small_disk(stage.state) as has_disk:
            run = _Run(stage, log, has_disk=has_disk)
            try:
                run.start()
                run.go(options)
            finally:
                summary, rows = run.end()
    for name, value in summary.items():
        print(f"{name:<24} {value}")
    return Outcome(summary={"minutes": options.minutes, "every_s": options.every, **summary}, rows=rows)


class _Run:
    """The service and everybody around it."""

    def __init__(self, stage: Stage, log: Path, *, has_disk: bool) -> None:
        self._stage, self._log, self._has_disk = stage, log, has_disk
        self._systemd = Systemd(stage.folder / "notify", WATCHDOG_S)
        self._good, self._troubled = GoodListener(stage, log.with_name("reports.jsonl")), TroubledListener(stage)
        self._memory: list[tuple[float, float]] = []
        self._blocks: list[int] = []
        self._threads: dict[str, tuple[float, float]] = {}
        self._began_s, self._sampled_s = time.monotonic(), -_SAMPLE_EVERY_S
        self._rows: list[dict[str, Any]] = []
        self._status: dict[str, Any] = {}
        self._ended: int | None = None
        with log.open("wb") as stream:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.soak.service", str(stage.folder)],
                env={**os.environ, **self._systemd.environment},
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        self._faults = Faults(stage, self._service.pid, self._troubled, has_disk=has_disk)

    def start(self) -> None:
        """Wait until it is ready and has found the object.

        Raises:
            RunFault: It did not.
        """
        self._systemd.start()
        self._good.start()
        began_s = time.monotonic()
        self._wait(lambda: self._systemd.ready.is_set(), "READY")
        self._ready_s = time.monotonic() - began_s
        self._wait(lambda: self._good.judged.tracking > 0, "the object to be found")
        self._troubled.start()

    def go(self, options: SoakOptions) -> None:
        """Let things go wrong, one after the other."""
        began_s = time.monotonic()
        faults = self._faults.all()
        number = 0
        while (now_s := time.monotonic()) < began_s + 60.0 * options.minutes:
            due_s = began_s + (number + 0.5) * options.every
            if now_s < due_s:
                self._pass(min(_SAMPLE_EVERY_S, due_s - now_s))
                if not self._is_alive():
                    return
                continue
            self._cause(faults[number % len(faults)], until_s=due_s + options.every)
            number += 1

    def end(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """End everything; the figures, and a row per fault."""
        self._troubled.end()
        stopped_s = None
        if self._is_alive():
            self._status = self._faults.status()
            began_s = time.monotonic()
            self._service.send_signal(signal.SIGTERM)
            try:
                self._ended = self._service.wait(10.0 * STOP_S)
                stopped_s = round(time.monotonic() - began_s, 2)
            except subprocess.TimeoutExpired:
                self._service.kill()
        self._service.wait()
        self._systemd.end()
        self._good.end()
        return self._summary(stopped_s), self._rows

    def _cause(self, fault: Fault, *, until_s: float) -> None:
        before = self._faults.status()
        self._good.judged.longest_gap_s = 0.0
        fault.begin()
        self._pass(fault.lasts_s)
        fault.end()
        ended_s = time.monotonic()
        judged = self._good.judged
        while judged.last_tracking_at_s <= ended_s and time.monotonic() < until_s - 1.0 and self._is_alive():
            self._pass(0.05)
        again_s = judged.last_tracking_at_s
        is_recovered = again_s > ended_s
        self._pass(1.0)  # in which counts are told
        if is_recovered and self._is_alive():
            self._blocks.append(self._faults.python_blocks())
        row = {
            "fault": fault.name,
            "recovered": is_recovered,
            "recovered_s": round(again_s - ended_s, 2) if is_recovered else None,
            "longest_gap_s": round(judged.longest_gap_s, 2),
            "told": told(before, self._faults.status()) if self._is_alive() else {},
        }
        print(row, flush=True)
        self._rows.append(row)

    def _summary(self, stopped_s: float | None) -> dict[str, Any]:
        judged, log = self._good.judged, self._log.read_text(errors="replace")
        # The service ends with status 0 when it is told to; all else is a crash.
        return {
            "priority": os.getpriority(os.PRIO_PROCESS, 0),
            "crashes": int(self._ended != 0),
            "tracebacks": log.count("Traceback (most recent call last)"),
            "reports": judged.reports,
            "missing_reports": judged.missing,
            "tracking_reports": judged.tracking,
            "wrong_poses_told": len(judged.wrong),
            "worst_error_of_diameter": round(judged.worst, 4),
            "faults": len(self._rows),
            "faults_recovered": sum(row["recovered"] for row in self._rows),
            "faults_neither_recovered_nor_told": sum(not (row["recovered"] or row["told"]) for row in self._rows),
            "disk_was_filled": self._has_disk,
            "watchdog_starved": self._systemd.starved,
            "longest_unfed_s": round(self._systemd.longest_unfed_s, 2),
            "ready_s": round(self._ready_s, 1),
            "stopped_s": stopped_s,
            "step_ms": self._status.get("step_ms"),
            "skipped_frames": self._status.get("skipped_frames"),
            "losses": self._status.get("losses"),
            "wrong": judged.wrong[:8],
            "by_fault": self._by_fault(),
            **memory_figures(self._memory),
            "python_blocks": self._blocks,
            **self._core_figures(),
        }

    def _by_fault(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in dict.fromkeys(row["fault"] for row in self._rows):
            mine = [row for row in self._rows if row["fault"] == name]
            times_s = [row["recovered_s"] for row in mine if row["recovered_s"] is not None]
            found[name] = {
                "times": len(mine),
                "recovered": len(times_s),
                "recovered_s_max": max(times_s, default=None),
                "longest_gap_s": max(row["longest_gap_s"] for row in mine),
            }
        return found

    def _pass(self, seconds: float) -> None:
        """Let time pass, and look at the service's memory and threads now and then."""
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            if now_s - self._sampled_s >= _SAMPLE_EVERY_S and self._is_alive():
                self._sampled_s = now_s
                self._sample(now_s - self._began_s)
            time.sleep(min(until_s - now_s, _SAMPLE_EVERY_S))

    def _sample(self, at_s: float) -> None:
        process = Path(f"/proc/{self._service.pid}")
        for line in (process / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                self._memory.append((at_s, round(int(line.split()[1]) / 1024.0, 1)))
        for thread in (process / "task").iterdir():
            with suppress(OSError):  # it has ended
                ran_ns, waited_ns = (thread / "schedstat").read_text().split()[:2]
                self._threads[thread.name] = int(ran_ns) * 1e-9, int(waited_ns) * 1e-9

    def _core_figures(self) -> dict[str, Any]:
        """Cores that the service had, and that it waited for while others had them, over the whole run."""
        if not self._memory or not self._threads:
            return {"cores_had": None, "cores_waited_for": None}
        ran_s, waited_s = np.sum(list(self._threads.values()), axis=0) / self._memory[-1][0]
        return {"cores_had": round(float(ran_s), 2), "cores_waited_for": round(float(waited_s), 2)}

    def _is_alive(self) -> bool:
        return self._service.poll() is None

    def _wait(self, condition: Any, what: str) -> None:
        until_s = time.monotonic() + START_S
        while not condition():
            if not self._is_alive() or time.monotonic() > until_s:
                lines = self._log.read_text(errors="replace").splitlines()
                got = lines[-1] if lines else f"nothing within {START_S:g} s"
                raise RunFault(mismatch("soak service", got, what, "see its log with --keep FOLDER"))
            time.sleep(0.05)


@contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """A file system of its own, small enough to be filled; False where nobody lets us mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, check=False, capture_output=True)
    except FileNotFoundError:
        yield False
        return
    if done.returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(place)], check=True)
