"""Stages that do not come back: somebody says so, and the command ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.errors import RunFault
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig, WatchdogConfig
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.onboard import onboard
from storm_edge.replay.track_scene import TrackSceneHooks, TrackSceneOptions, track_scene
from tests.tiny_scene import MODEL, write_tiny_scene

DEADLINE_S = 60.0


def test_a_stage_that_hangs_is_told_of_once_and_a_quick_one_never() -> None:
    told: list[RunFault] = []
    is_told = threading.Event()

    def tell(fault: RunFault) -> None:
        told.append(fault)
        is_told.set()

    with Watchdog(tell, WatchdogConfig(hang_s=0.1, first_hang_s=DEADLINE_S, poll_s=0.005)) as watchdog:
        with watchdog.watching("track"):
            time.sleep(0.2)  # the first time kernels may be compiled
        assert not told
        for _ in range(20):
            with watchdog.watching("track"):
                pass
        with watchdog.watching("track"):
            assert is_told.wait(DEADLINE_S)
            time.sleep(0.05)
        time.sleep(0.15)  # nothing is in progress
        assert len(told) == watchdog.stalls == 1
    assert str(told[0]).startswith("stage track: got no end in 0.1")
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


class StuckScene(BopScene):
    """Does not come back with its fourth frame until it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()

    def frame(self, frame_id: int) -> Frame:
        if frame_id == 3:
            assert self.gate.wait(DEADLINE_S)
        return super().frame(frame_id)


def test_a_recording_that_hangs_is_told_of_and_goes_on_when_it_comes_back(tmp_path: Path) -> None:
    path = write_tiny_scene(tmp_path / "scene", frame_count=5)
    scene, told = StuckScene(path), []

    def tell(fault: RunFault) -> None:
        told.append(str(fault))
        scene.gate.set()

    thing = onboard(path / MODEL, "mm", view_subdivisions=1)
    options = TrackSceneOptions(init=Init.GT, pictures=False, config=StormConfig(watchdog=WatchdogConfig(hang_s=0.3)))
    run = track_scene(scene, [thing], None, tmp_path / "out", options, hooks=TrackSceneHooks(on_hang=tell))
    assert len(run.tracks) == 5
    assert len(told) == 1
    assert "stage read: got no end in" in told[0]
    assert "what was written so far is in" in told[0]
    assert run.summary["faults"]["stalls"] == 1  # type: ignore[index]


def test_the_command_ends_from_the_thread_that_looks_on() -> None:
    """The main thread hangs for good; what is said is one line, the status is that of an error."""
    code = """
import threading
from storm_edge.cli.console import end_now
from storm_edge.cli.logging_setup import set_up_logging
from storm_edge.live.config import StormConfig, WatchdogConfig
from storm_edge.live.watchdog import Watchdog
set_up_logging()
with Watchdog(end_now, WatchdogConfig(first_hang_s=0.05, poll_s=0.01)) as watchdog, watchdog.watching("track"):
    threading.Event().wait()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: stage track: got no end in ")
    assert ended.stderr.count("\n") == 1
