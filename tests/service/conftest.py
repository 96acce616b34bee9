"""A box that is easy to find, its frames, and a service around them on geometry alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_edge.bop.scene import BopScene
from storm_edge.frame import Frame
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.queue import SinkQueue
from storm_edge.live.sources.handed_in import HandedIn
from storm_edge.objects.onboard import onboard
from storm_edge.service.build import open_service
from storm_edge.service.notify import Notifier
from storm_edge.service.profile_sections import read_service_profile
from storm_edge.service.run import Service
from storm_edge.service.state import Snapshot
from tests.tiny_scene import MODEL, write_tiny_scene

PROFILE: dict[str, Any] = {
    "version": 2,
    "machine": "test",
    "device": "cpu",
    "cores": 1,
    "memory_mib": 1000,
    "bundle": "none",
    "precision": "fp32",
    "camera": {"width_px": 96, "height_px": 72, "rate_hz": 30},
    "search": "between",  # in the frame that asks for it, so that no test depends on the time it takes
    "source": {"kind": "external", "stall_s": 0.2},
    "objects": [{"path": "box", "name": "box"}],
}
LONG_S = 60.0
"""Longest wait for anything; a test that waits so long fails."""


@dataclass
class Site:
    """A folder with a profile, a scene and its object."""

    folder: Path
    frames: list[Frame] = field(default_factory=list)

    @property
    def profile(self) -> Path:
        return self.folder / "profile.yaml"

    def write(self, **changes: Any) -> Path:
        self.profile.write_text(yaml.safe_dump(PROFILE | changes))
        return self.profile


class Collected:
    """A sink that keeps what it gets."""

    name = "collected"

    def __init__(self) -> None:
        self.reports: list[FrameReport] = []

    def send(self, report: FrameReport) -> None:
        self.reports.append(report)

    def close(self) -> None:
        """Nothing to close."""


class Told(Notifier):
    """Keeps what systemd would be told."""

    def __init__(self) -> None:
        super().__init__({"WATCHDOG_USEC": "1000"})
        self.messages: list[str] = []
        self.at_turn: Callable[[], None] = lambda: None

    def turn(self) -> None:
        super().turn()
        self.at_turn()

    def _send(self, message: str, *, waits: bool = True) -> None:
        self.messages.append(message.partition("\n")[0])


@dataclass
class Running:
    """A service on a thread of its own, whose frames the test hands in."""

    service: Service
    source: HandedIn
    sink: Collected
    told: Told
    frames: list[Frame]
    error: list[BaseException] = field(default_factory=list)
    _number: int = 0
    _worked_on: int = 0

    @property
    def snapshot(self) -> Snapshot:
        return self.service.state.snapshot

    def hand_in(self, *, stamp_ns: int | None = None) -> None:
        """The next frame, 33 ms after the one before; waits until its turn of the loop and its report are done."""
        picture = self.frames[self._number % len(self.frames)]
        at_ns = 10**12 + self._number * 33_333_333 if stamp_ns is None else stamp_ns
        number, done = self._number, len(self.sink.reports)
        self.source.hand_in(
            Frame(rgb=picture.rgb, depth_m=picture.depth_m, K=picture.K, stamp_ns=at_ns, index=number)
        )
        self._number += 1
        wait_for(lambda: len(self.sink.reports) > done or bool(self.error), f"the report of frame {number}")
        wait_for(lambda: self._worked_on > number or bool(self.error), f"the turn of frame {number}")

    def at_turn(self) -> None:
        """After each turn of the loop, on its thread: a snapshot is published and systemd was told by then."""
        self._worked_on = self.snapshot.frames + self.snapshot.skipped_frames

    def hand_in_until(self, condition: Callable[[], bool], what: str) -> None:
        until_s = time.monotonic() + LONG_S
        while not condition():
            assert time.monotonic() < until_s, f"waited in vain for {what}: {self.snapshot}"
            assert not self.error, self.error
            self.hand_in()

    def ask(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        return self.service.state.submit(name, arguments).reply.result(LONG_S)

    def state_of(self, name: str) -> str | None:
        return next((item.state.value for item in self.snapshot.objects if item.name == name), None)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until_s, f"waited in vain for {what}"
        time.sleep(0.002)


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    scene = write_tiny_scene(folder / "scene", frame_count=6)
    onboard(scene / MODEL, "mm", object_id="box", view_subdivisions=1).save(folder / "box")
    return folder


@pytest.fixture
def site(_made: Path, tmp_path: Path) -> Site:
    """A folder of the test's own, with links to what is read only."""
    for name in ("scene", "box"):
        (tmp_path / name).symlink_to(_made / name)
    made = Site(tmp_path, list(BopScene(_made / "scene")))
    made.write()
    return made


@pytest.fixture
def running(site: Site) -> Iterator[Running]:
    with run_service(site) as made:
        yield made


@pytest.fixture
def idle(site: Site) -> Iterator[Running]:
    """One without objects, which is quicker."""
    site.write(objects=[])
    with run_service(site) as made:
        yield made


@contextmanager
def run_service(site: Site, *sinks: SinkQueue) -> Iterator[Running]:
    """A service of the site's profile, ended with the block."""
    source, sink, told = HandedIn(0.2), Collected(), Told()
    queues = (SinkQueue(sink, 1000), *sinks)
    service = open_service(
        read_service_profile(site.profile), state_folder=site.folder, source=source, sinks=queues, notifier=told
    )
    made = Running(service, source, sink, told, site.frames)
    told.at_turn = made.at_turn

    def run() -> None:
        try:
            service.run()
        except BaseException as error:  # the test looks at it
            made.error.append(error)

    thread = threading.Thread(target=run, name="service")
    thread.start()
    try:
        yield made
    finally:
        service.stop()
        thread.join(LONG_S)
        assert not thread.is_alive()
