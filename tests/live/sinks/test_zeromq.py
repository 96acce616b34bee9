from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storm_edge.errors import BackendError, ConfigError, OutputError
from storm_edge.live.sinks.queue import SinkQueue
from storm_edge.live.sinks.zeromq import TOPIC, ZeroMqSink
from storm_edge.live.track_report import TrackState
from tests.live.sinks.reports import report

zmq = pytest.importorskip("zmq")
msgpack = pytest.importorskip("msgpack")

LONG_MS = 20_000
SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.SUBSCRIBE, b"")
socket.connect(sys.argv[1])
while True:
    socket.recv_multipart()
    print("one", flush=True)
"""


@pytest.fixture
def sink() -> Iterator[ZeroMqSink]:
    made = ZeroMqSink("tcp://127.0.0.1:*", encoding="msgpack", most_waiting=20)
    yield made
    made.close()


@pytest.fixture
def subscriber(sink: ZeroMqSink) -> Iterator[Any]:
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(sink.endpoint)
    yield socket
    socket.close(0)
    context.term()


def received(socket: Any, timeout_ms: int = LONG_MS) -> dict[str, Any] | None:
    if not socket.poll(timeout_ms):
        return None
    topic, data = socket.recv_multipart()
    assert topic == TOPIC
    found: dict[str, Any] = msgpack.unpackb(data)
    return found


def subscribed(sink: ZeroMqSink, socket: Any) -> dict[str, Any]:
    """Send until it arrives: a subscription takes a moment; returns the newest that did."""
    for _ in range(LONG_MS // 20):
        sink.send(report(0))
        found = received(socket, 20)
        if found is not None:
            while (newer := received(socket, 100)) is not None:
                found = newer
            return found
    raise AssertionError("nothing arrived")


def test_a_subscriber_gets_what_every_sink_sends(sink: ZeroMqSink, subscriber: Any) -> None:
    last = subscribed(sink, subscriber)["sequence"]
    sink.send(report(7, state=TrackState.SUSPECT))
    found = received(subscriber)
    assert found is not None
    assert (found["sequence"], found["frame"], found["stamp_ns"]) == (last + 1, 7, 70)
    (told,) = found["objects"]
    assert (told["state"], told["T_cam_obj"], told["pose_age_ms"]) == ("SUSPECT", None, 1.0)


def test_json_is_the_same_message() -> None:
    sink = ZeroMqSink("tcp://127.0.0.1:*", encoding="json", most_waiting=5)
    try:
        packed = sink._pack({"sequence": 1})
        assert json.loads(packed) == {"sequence": 1}
    finally:
        sink.close()


def test_a_stopped_subscriber_costs_the_other_nothing(sink: ZeroMqSink, subscriber: Any) -> None:
    """Its process is stopped (SIGSTOP) and far more is sent than any buffer between holds."""
    command = [sys.executable, "-c", SUBSCRIBER, sink.endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stuck:
        try:
            last = subscribed(sink, subscriber)["sequence"]
            assert stuck.stdout is not None
            os.set_blocking(stuck.stdout.fileno(), False)
            while not stuck.stdout.readline():
                last = subscribed(sink, subscriber)["sequence"]
            os.kill(stuck.pid, signal.SIGSTOP)
            queue = SinkQueue(sink, capacity=8)
            queue.start()
            sequences = []
            for index in range(400):
                queue.offer(report(index, object_count=60))
                found = received(subscriber)
                assert found is not None
                sequences.append(found["sequence"])
            assert sequences == list(range(last + 1, last + 401))
            assert queue.counts.dropped == 0
            queue.close(1.0)
        finally:
            stuck.kill()


def test_an_endpoint_in_use_is_one_line(sink: ZeroMqSink) -> None:
    with pytest.raises(OutputError, match="Address already in use"):
        ZeroMqSink(sink.endpoint, encoding="json", most_waiting=1)


@pytest.mark.parametrize("endpoint", ["", "5556", "tcp://", "udp://127.0.0.1:1", "ipc://"])
def test_an_endpoint_of_another_form_is_one_line(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="tcp://ADDRESS:PORT"):
        ZeroMqSink(endpoint, encoding="json", most_waiting=1)


def test_a_file_in_the_place_of_its_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(OutputError, match="another file"):
        ZeroMqSink(f"ipc://{path}", encoding="json", most_waiting=1)
    assert path.read_text() == "mine"


def test_an_open_endpoint_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    ZeroMqSink("tcp://0.0.0.0:*", encoding="json", most_waiting=1).close()
    assert "whoever reaches this machine" in caplog.text


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zmq", None)
    with pytest.raises(BackendError, match=r"storm-edge\[robot\]"):
        ZeroMqSink("tcp://127.0.0.1:*", encoding="json", most_waiting=1)
