"""What the service costs beside the session: its start, its end, every frame; and a camera process that is killed.

    python -m benchmarks run service_cost [--repeats 3] [--frames 600]

`storm-edge run` plays the demo's recording with the nano networks. Start is from the command to READY, with an empty
kernel cache and with a full one; end from SIGTERM to the end of the process. A frame's overhead is a turn of the loop
less `Session.step`, with two sinks to files, in this process. The camera is a program that makes pictures in a
process like a RealSense camera's; its process is killed, and the next frame is waited for.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from benchmarks.picture_camera import OPENER, RATE_HZ, SIZE_PX
from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.frame import Frame
from storm_edge.live.session import Session
from storm_edge.live.sources.handed_in import HandedIn
from storm_edge.live.sources.realsense import RealSenseOptions, RealSenseSource
from storm_edge.objects.onboard import onboard
from storm_edge.percentiles import percentiles
from storm_edge.service.build import open_service
from storm_edge.service.profile_sections import read_service_profile
from storm_edge.synthetic.demo import demo_script
from storm_edge.synthetic.scene_renderer import OBJECT_ID, write_scene

FRAME_COUNT = 75


@dataclass(frozen=True, kw_only=True)
class ServiceCostOptions(RecordOptions):
    """How often."""

    repeats: Annotated[int, typer.Option(min=1, help="Starts, and kills.")] = 3
    frames: Annotated[int, typer.Option(min=10, help="Frames whose overhead is measured.")] = 600


@case(record="service_cost", timing=True)
def service_cost(options: ServiceCostOptions) -> Outcome:
    """Start, run and end the service."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_scene(folder / "scene", replace(demo_script(), frame_count=FRAME_COUNT))
        onboard(folder / "scene" / "models" / f"obj_{OBJECT_ID:06d}.ply", "mm").save(folder / "mug")
        profile = write_profile(folder)
        rows: list[dict[str, Any]] = []
        for place in range(options.repeats):
            cache = folder / f"cache-{place}"
            rows.append({"start": "empty kernel cache", **start_and_end(profile, folder, cache)})
            rows.append({"start": "full kernel cache", **start_and_end(profile, folder, cache)})
        overhead_ms = frame_overhead_ms(profile, folder, options.frames)
        back_ms = [back_after_kill_ms() for _ in range(options.repeats)]
    summary: dict[str, Any] = {
        f"{name}, {start} [s]": percentiles([row[name] for row in rows if row["start"] == start])
        for name in ("to_ready", "to_end")
        for start in ("empty kernel cache", "full kernel cache")
    }
    summary["overhead of a frame [ms]"] = percentiles(overhead_ms)
    summary["camera process killed, next frame after [ms]"] = percentiles(back_ms)
    for name, value in summary.items():
        print(f"{name:<45} {value}")
    return Outcome(summary=summary, rows=rows)


def write_profile(folder: Path) -> Path:
    """A profile of this machine for the demo's recording."""
    content = {
        "version": 2,
        "machine": "here",
        "device": "cpu",
        "cores": 1,
        "memory_mib": 1000,
        "bundle": "nano",
        "precision": "fp32",
        "camera": {"width_px": SIZE_PX[1], "height_px": SIZE_PX[0], "rate_hz": RATE_HZ},
        "search": "beside",
        "source": {"kind": "recording", "path": "scene", "play": "back-and-forth"},
        "objects": [{"path": "mug", "name": "mug"}],
        "sinks": [{"kind": "json_lines", "path": "a.jsonl"}, {"kind": "json_lines", "path": "b.jsonl"}],
    }
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def start_and_end(profile: Path, state: Path, cache: Path) -> dict[str, float]:
    """Seconds from the command to READY, and from SIGTERM to the end."""
    address = state / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        environment = os.environ | {"NOTIFY_SOCKET": str(address), "WARP_CACHE_PATH": str(cache)}
        began_s = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "storm_edge", "run", str(profile), "--state", str(state)], env=environment
        )
        try:
            systemd.settimeout(600.0)
            while systemd.recv(65536) != b"READY=1":
                pass
            ready_s = time.monotonic() - began_s
            time.sleep(2.0)  # a search is in progress, which is when an end takes longest
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            status = process.wait(60.0)
            end_s = time.monotonic() - began_s
        finally:
            process.kill()
            process.wait()
            address.unlink()
    if status:
        raise RuntimeError(f"the service ended with status {status}")
    return {"to_ready": round(ready_s, 2), "to_end": round(end_s, 3)}


class _Timed(Session):
    """Notes how long steps take."""

    spent_s = 0.0

    def step(self, *arguments: Any, **options: Any) -> Any:
        began_s = time.perf_counter()
        result = super().step(*arguments, **options)
        self.spent_s += time.perf_counter() - began_s
        return result


def frame_overhead_ms(profile: Path, state: Path, count: int) -> list[float]:
    """Time of each turn of the loop that is not the session's [ms]."""
    frames = list(BopScene(state / "scene"))
    source = HandedIn(1.0)
    service = open_service(read_service_profile(profile), state_folder=state, source=source)
    session = service.parts.session
    session.__class__ = _Timed
    assert isinstance(session, _Timed)
    found: list[float] = []
    ordinary_turn = service._turn

    def turn() -> bool:
        number = len(found)
        if number >= count:
            return False
        place = number % (2 * FRAME_COUNT - 2)
        picture = frames[place if place < FRAME_COUNT else 2 * FRAME_COUNT - 2 - place]
        source.hand_in(replace(picture, index=number, stamp_ns=round(number * 1e9 / RATE_HZ)))
        before_s, began_s = session.spent_s, time.perf_counter()
        goes_on = ordinary_turn()
        spent_s = time.perf_counter() - began_s
        found.append((spent_s - (session.spent_s - before_s)) * 1e3)
        time.sleep(max(1.0 / RATE_HZ - spent_s, 0.0))
        return goes_on

    service._turn = turn  # type: ignore[method-assign]
    service.run()
    return found


def back_after_kill_ms() -> float:
    """Time from the kill of a camera process to the next frame [ms]."""
    options = RealSenseOptions(size_px=SIZE_PX, rate_hz=RATE_HZ)
    source = RealSenseSource(options, opener=OPENER)
    source.open()
    try:
        for _ in range(10):
            _next_frame(source)
        killed = source.process_id
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        began_s = time.monotonic()
        while source.process_id == killed:
            source.poll(0.01)
        _next_frame(source)
        return (time.monotonic() - began_s) * 1e3
    finally:
        source.close(1.0)


def _next_frame(source: RealSenseSource) -> None:
    until_s = time.monotonic() + 60.0
    while not isinstance(source.poll(0.05), Frame):
        if time.monotonic() > until_s:
            raise RuntimeError(f"no frame: {source.status}")
