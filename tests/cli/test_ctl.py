"""`storm-edge run` as a process, with all that runs beside it, and `storm-edge ctl` that talks to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_edge.mcap.reader import McapScene
from storm_edge.service.control_client import ask
from tests.cli.conftest import Command
from tests.service.conftest import LONG_S, PROFILE
from tests.tiny_scene import write_tiny_scene

zmq = pytest.importorskip("zmq")
msgpack = pytest.importorskip("msgpack")
pytest.importorskip("rosbags")
pytest.importorskip("prometheus_client")


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    until_s = time.monotonic() + LONG_S
    while not condition():
        assert process.poll() is None, f"ended while waiting for {what}: {process.communicate()}"
        assert time.monotonic() < until_s, f"waited in vain for {what}"
        time.sleep(0.02)


@pytest.fixture
def profile(tmp_path: Path, thing: Path) -> Path:
    """A service over a small recording, with everything that a profile can name."""
    write_tiny_scene(tmp_path / "scene", frame_count=6)
    content: dict[str, Any] = PROFILE | {
        "source": {"kind": "recording", "path": "scene", "play": "back-and-forth"},
        "objects": [{"path": str(thing), "name": "box"}],
        "sinks": [
            {"kind": "json_lines", "path": "poses.jsonl"},
            {"kind": "zeromq", "endpoint": f"ipc://{tmp_path}/z"},
            {"kind": "unix_socket"},
        ],
        "control": {},
        "health": {"port": free_port()},
        "recording": {"before_s": 1.0, "after_s": 0.0, "free_mib": 0.0},
    }
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def service(profile: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "storm_edge", "run", str(profile), "--state", str(profile.parent)]
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_DIRECTORY")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def state_of(path: Path) -> str | None:
    if not path.exists():
        return None
    objects = ask(path, "status")["objects"]
    return objects[0]["state"] if objects else None


def test_a_service_is_asked_told_listened_to_and_ended(
    service: subprocess.Popen[str], profile: Path, thing: Path, storm_edge: Command
) -> None:
    folder = profile.parent
    control = folder / "control.sock"
    wait_for(lambda: state_of(control) == "TRACKING", service, "a track")

    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"")
    subscriber.connect(f"ipc://{folder}/z")
    try:
        assert subscriber.poll(LONG_S * 1e3)
        _, data = subscriber.recv_multipart()
        assert msgpack.unpackb(data)["objects"][0]["object"] == "box"
    finally:
        subscriber.close(0)
        context.term()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LONG_S)
        client.connect(str(folder / "poses.sock"))
        with client.makefile() as stream:
            assert json.loads(stream.readline())["objects"][0]["object"] == "box"
    port = yaml.safe_load(profile.read_text())["health"]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S) as answer:
        assert b'storm_edge_object_state{object="box",state="TRACKING"} 1.0' in answer.read()

    def ctl(*arguments: object) -> str:
        ended = storm_edge("ctl", *arguments, "--socket", control)
        assert (ended.status, ended.err) == (0, "")
        return ended.out

    assert "object box: TRACKING" in ctl("status")
    assert json.loads(ctl("status", "--json"))["losses"]["written"] == 0
    ctl("record")
    wait_for(lambda: ask(control, "status")["losses"]["written"] == 1, service, "a recording")
    with McapScene(next((folder / "losses").glob("*.mcap"))) as scene:
        assert len(scene) > 1
    ctl("add", thing, "--name", "second")
    wait_for(lambda: len(ask(control, "status")["objects"]) == 2, service, "a second object")
    assert ctl("relocalise", "second") == "relocalised second\n"
    assert ctl("remove", "second") == "removed second\n"
    assert "box" in ctl("reload")
    ended = storm_edge("ctl", "remove", "second", "--socket", control)
    assert (ended.status, ended.err.count("\n")) == (1, 1)

    service.send_signal(signal.SIGTERM)
    assert service.wait(LONG_S) == 0
    assert not control.exists()
    assert not (folder / "poses.sock").exists()
    assert json.loads((folder / "poses.jsonl").read_text().splitlines()[-1])["format"] == 1


def test_a_port_in_use_ends_the_service_with_one_line(storm_edge: Command, profile: Path) -> None:
    content = yaml.safe_load(profile.read_text())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        content["health"]["port"] = other.getsockname()[1]
        profile.write_text(yaml.safe_dump(content))
        ended = storm_edge("run", profile, "--state", profile.parent)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "Address already in use" in ended.err


def test_a_state_folder_that_cannot_be_written_ends_it_with_one_line(storm_edge: Command, profile: Path) -> None:
    state = profile.parent / "file"
    state.write_text("")
    ended = storm_edge("run", profile, "--state", state, "--runtime", profile.parent)
    assert (ended.status, ended.err.count("\n")) == (1, 1)


def test_a_file_system_that_is_read_only_ends_it_with_one_line(storm_edge: Command, profile: Path) -> None:
    state = profile.parent / "state"
    state.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", state], check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("no right to mount a file system")
    try:
        ended = storm_edge("run", profile, "--state", state, "--runtime", profile.parent)
    finally:
        subprocess.run(["umount", state], check=True)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "Read-only file system" in ended.err


def test_no_service_is_one_line(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("ctl", "status", "--socket", tmp_path / "none.sock")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "running service" in ended.err
