"""The camera process as the service sees it, with a software device, and fakes for what that cannot be made to do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storm_edge.errors import BackendError, RunFault
from storm_edge.frame import Frame
from storm_edge.live.sources import SourceState, realsense
from storm_edge.live.sources.config import CameraConfig
from storm_edge.live.sources.realsense import RealSenseOptions, RealSenseSource
from storm_edge.live.sources.realsense_device import claim
from tests.live.sources import fake_camera, software_camera
from tests.live.sources.fake_camera import Script

LONG_S = 60.0
QUICK = CameraConfig(stall_s=0.3, rung_s=0.5, open_s=30.0, give_up_s=60.0, wait_s=0.01, tell_every_s=0.01)

Open = Callable[..., RealSenseSource]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens sources, and ends them after the test."""
    sources: list[RealSenseSource] = []

    def make(opener: str, size_px: tuple[int, int], config: CameraConfig = QUICK) -> RealSenseSource:
        source = RealSenseSource(RealSenseOptions(size_px=size_px, rate_hz=30.0), config, opener=opener)
        sources.append(source)
        source.open()
        return source

    yield make
    for source in sources:
        source.close(0.1)


@pytest.fixture
def fake(opened: Open, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RealSenseSource]:
    def make(script: Script, **changes: float) -> RealSenseSource:
        for name, value in script.environment().items():
            monkeypatch.setenv(name, value)
        return opened(fake_camera.OPENER, fake_camera.SIZE_PX, replace(QUICK, **changes))

    return make


def wait_for_end(process_id: int) -> None:
    """Until a process has ended, without taking its status, which is its parent's."""
    os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOWAIT)


def frames(source: RealSenseSource, count: int) -> list[Frame]:
    found: list[Frame] = []
    until_s = time.monotonic() + LONG_S
    while len(found) < count:
        assert time.monotonic() < until_s, source.status
        frame = source.poll(0.05)
        if isinstance(frame, Frame):
            found.append(frame)
    return found


def test_frames_come_from_another_process_and_again_after_it_was_killed(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyrealsense2", reason="pyrealsense2 does not load here", exc_type=ImportError)
    for name, value in software_camera.Script(serial=f"test-{os.getpid()}").environment().items():
        monkeypatch.setenv(name, value)
    source = opened(software_camera.OPENER, software_camera.SIZE_PX, CameraConfig())
    assert source.status.state is SourceState.OPENING
    numbers = [software_camera.number_in(frame.rgb, frame.depth_m) for frame in frames(source, 20)]
    assert numbers == sorted(set(numbers))
    assert source.status.state is SourceState.RUNNING
    assert source.status.detail.startswith(f"Software test-{os.getpid()}, USB 3.2")
    assert source.status.readings["temperature_c"] == 41.0
    first = source.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until_s = time.monotonic() + LONG_S
    while source.process_id == first:
        assert time.monotonic() < until_s
        source.poll(0.05)
    for frame in frames(source, 5):
        software_camera.number_in(frame.rgb, frame.depth_m)
    assert source.status.counts["process_restarts"] >= 1


def test_a_camera_stays_its_services_while_its_process_is_started_anew(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyrealsense2", reason="pyrealsense2 does not load here", exc_type=ImportError)
    serial = f"test-kept-{os.getpid()}"
    for name, value in software_camera.Script(serial=serial).environment().items():
        monkeypatch.setenv(name, value)
    source = opened(software_camera.OPENER, software_camera.SIZE_PX, CameraConfig())
    frames(source, 1)
    assert source.process_id is not None
    os.kill(source.process_id, signal.SIGKILL)
    wait_for_end(source.process_id)
    with pytest.raises(BackendError, match="in use by another service"):
        claim(serial)
    frames(source, 5)
    with pytest.raises(BackendError, match="in use by another service"):
        opened(software_camera.OPENER, software_camera.SIZE_PX).poll(LONG_S)
    source.close(1.0)
    claim(serial).close()


@pytest.mark.parametrize(
    ("wakes_at", "tried", "counted"),
    [
        ("restart", ["open", "stop"], {"sensor_restarts": 1}),
        ("open", ["open", "stop", "stop", "reset", "open"], {"sensor_restarts": 1, "resets": 1}),
    ],
)
def test_a_camera_that_falls_silent_is_woken_by_the_gentlest_thing_that_helps(
    fake: Callable[..., RealSenseSource], tmp_path: Path, wakes_at: str, tried: list[str], counted: dict[str, int]
) -> None:
    script = Script(journal=str(tmp_path / "tried"), wakes_at=wakes_at)
    source = fake(script)
    assert len(frames(source, 1)) == 1
    until_s = time.monotonic() + LONG_S
    while not source.status.counts.get("sensor_restarts"):
        assert time.monotonic() < until_s
        source.poll(0.02)
    assert source.status.state in (SourceState.RECOVERING, SourceState.RUNNING)
    frames(source, 20)
    assert script.tried()[: len(tried)] == tried  # on a busy machine it may be silent again
    assert all(source.status.counts[name] >= count for name, count in counted.items())


@pytest.mark.parametrize("hangs_in", ["stop", "reset"])
def test_a_camera_process_that_hangs_is_killed_and_another_one_started(
    fake: Callable[..., RealSenseSource], tmp_path: Path, hangs_in: str
) -> None:
    script = Script(journal=str(tmp_path / "tried"), wakes_at="open", hangs_in=hangs_in)
    source = fake(script)
    first = source.process_id
    frames(source, 20)
    assert source.process_id != first
    assert script.tried().count("open") >= 2
    assert source.status.counts["process_restarts"] >= 1


def test_a_process_that_is_stopped_is_replaced(fake: Callable[..., RealSenseSource], tmp_path: Path) -> None:
    source = fake(Script(journal=str(tmp_path / "tried"), silent_after=10**9))
    frames(source, 3)
    first = source.process_id
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    until_s = time.monotonic() + LONG_S
    while source.process_id == first:
        assert time.monotonic() < until_s
        source.poll(0.02)
    frames(source, 3)
    assert source.status.counts["process_restarts"] >= 1


def no_process(*_: object, **__: object) -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_system_that_starts_no_process_for_a_while_is_waited_for(
    fake: Callable[..., RealSenseSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fake(Script(journal=str(tmp_path / "tried"), silent_after=10**9))
    frames(source, 3)
    assert source.process_id is not None
    with monkeypatch.context() as broken:
        broken.setattr(realsense.subprocess, "Popen", no_process)
        os.kill(source.process_id, signal.SIGKILL)
        until_s = time.monotonic() + LONG_S
        while source.status.counts.get("process_restarts", 0) < 2:
            assert time.monotonic() < until_s
            source.poll(0.02)
        assert "its process does not start: [Errno 11]" in source.status.detail
        assert source.process_id is None
    frames(source, 3)


def test_a_system_that_starts_no_process_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realsense.subprocess, "Popen", no_process)
    source = RealSenseSource(RealSenseOptions(size_px=fake_camera.SIZE_PX, rate_hz=30.0), QUICK)
    with pytest.raises(RunFault, match=r"camera process: got no start \(\[Errno 11\].*expected a new process"):
        source.open()
    assert source.process_id is None


def test_a_camera_that_is_gone_for_a_while_is_waited_for(
    fake: Callable[..., RealSenseSource], tmp_path: Path
) -> None:
    script = Script(journal=str(tmp_path / "tried"), wakes_at="open", fails_at_open=(1, 4))
    source = fake(script)
    frames(source, 20)
    assert script.tried().count("open") >= 5


def test_what_is_wrong_at_the_first_start_is_told_at_once(
    fake: Callable[..., RealSenseSource], tmp_path: Path
) -> None:
    source = fake(Script(journal=str(tmp_path / "tried"), fails_at_open=(0, 1)))
    with pytest.raises(BackendError, match="Fake: got no camera, expected one; plug it in"):
        frames(source, 1)
    assert source.process_id is None


@pytest.mark.parametrize("hangs_in", ["", "open"])
def test_a_camera_that_stays_silent_is_given_up_in_time(
    fake: Callable[..., RealSenseSource], tmp_path: Path, hangs_in: str
) -> None:
    script = Script(journal=str(tmp_path / "tried"), silent_after=0, hangs_in=hangs_in)
    source = fake(script, give_up_s=1.0, open_s=1.0)
    words = r"RealSense: got no frame for .* s, whatever was tried, expected one within 1 s"
    with pytest.raises(RunFault, match=words):
        frames(source, 1)
    assert source.process_id is None


def test_the_process_ends_with_its_parent(fake: Callable[..., RealSenseSource], tmp_path: Path) -> None:
    source = fake(Script(journal=str(tmp_path / "tried"), silent_after=10**9))
    frames(source, 1)
    process = source._process
    assert process is not None
    source.close(LONG_S)
    assert process.poll() is not None
    source.close(0.0)


def test_what_was_written_before_the_end_is_used(fake: Callable[..., RealSenseSource], tmp_path: Path) -> None:
    """The process was killed while the loop was busy: its last frame and its end come in one."""
    source = fake(Script(journal=str(tmp_path / "tried"), silent_after=10**9))
    frames(source, 1)
    process = source._process
    assert process is not None
    time.sleep(0.1)  # some frames come meanwhile
    process.kill()
    process.wait()
    assert isinstance(source.poll(0.0), Frame)
    frames(source, 2)
    assert source.status.counts["process_restarts"] >= 1
