"""A camera without librealsense that falls silent and comes back when the right thing is tried, for the ladder.

What it does is in the environment; what was tried with it, line by line, in a file that outlives its process.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storm_edge.errors import BackendError
from storm_edge.live.sources.camera_link import CameraImage

OPENER = f"{__name__}:open_camera"
SCRIPT = "STORM_EDGE_TEST_FAKE_CAMERA"
SIZE_PX = (4, 6)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the camera does."""

    journal: str
    """File of what was tried."""
    silent_after: int = 5
    """Frames that a process gives before it falls silent; 0 gives none."""
    wakes_at: str = "never"
    """``restart``, ``reset`` or ``open`` gives frames for good."""
    hangs_in: str = ""
    """``open``, ``stop`` or ``reset`` that never comes back."""
    fails_at_open: tuple[int, int] = (0, 0)
    """The openings from the first to before the second find no camera."""

    def environment(self) -> dict[str, str]:
        return {SCRIPT: json.dumps(asdict(self))}

    def tried(self) -> list[str]:
        path = Path(self.journal)
        return path.read_text().split() if path.is_file() else []


class FakeCamera:
    """Numbered pictures."""

    def __init__(self, script: Script) -> None:
        self._script, self._left = script, script.silent_after
        self._number = 0
        self.counts: Counter[str] = Counter()
        self.serial, self.lock = "fake", None
        self.words, self.readings = "Fake", {"temperature_c": 20.0}
        self.has_ended = False
        opened = script.tried().count("open")
        self._note("open")
        if script.fails_at_open[0] <= opened < script.fails_at_open[1]:
            raise BackendError("Fake: got no camera, expected one; plug it in")
        if opened and script.wakes_at == "open":
            self._left = 10**9

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        self._note("stop")
        if self._script.wakes_at == "restart":
            self._left = 10**9

    def reset(self) -> None:
        self._note("reset")

    def wait(self, timeout_s: float) -> CameraImage | None:
        time.sleep(0.005)
        if not self._left:
            return None
        self._left -= 1
        self._number += 1
        rgb = np.full((*SIZE_PX, 3), self._number % 256, np.uint8)
        depth = np.full(SIZE_PX, 500 + self._number % 256, np.uint16)
        stamp_ns = time.time_ns()
        return CameraImage(
            rgb=rgb, depth=depth, K=np.eye(3), number=self._number, stamp_ns=stamp_ns, depth_unit_m=0.001
        )

    def _note(self, what: str) -> None:
        with Path(self._script.journal).open("a") as journal:
            journal.write(what + "\n")
        if what == self._script.hangs_in:
            time.sleep(1e6)


def open_camera(options: Mapping[str, Any]) -> FakeCamera:
    """What the camera process opens."""
    script = Script(**json.loads(os.environ[SCRIPT]))
    return FakeCamera(script)
