from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storm_edge.errors import OutputError
from storm_edge.live.sinks.unix_socket import UnixSocketSink
from storm_edge.live.track_report import TrackState
from tests.live.sinks.reports import report

LONG_S = 20.0


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[UnixSocketSink]:
    made = UnixSocketSink(tmp_path / "poses.sock", most_waiting_bytes=100_000, most_clients=3)
    yield made
    made.close()


def connected(sink: UnixSocketSink) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(LONG_S)
    client.connect(str(sink._path))
    return client


class Reader(threading.Thread):
    """Reads all lines of a socket."""

    def __init__(self, client: socket.socket) -> None:
        super().__init__(daemon=True)
        self._client = client
        self.frames: list[int] = []
        self.start()

    def run(self) -> None:
        with self._client, self._client.makefile() as stream:
            for line in stream:
                self.frames.append(json.loads(line)["frame"])


def test_everybody_gets_lines_from_when_they_connect(sink: UnixSocketSink) -> None:
    sink.send(report(0))
    with connected(sink) as first, first.makefile() as stream:
        sink.send(report(1))
        with connected(sink) as second, second.makefile() as other:
            sink.send(report(2, state=TrackState.SUSPECT))
            assert [json.loads(stream.readline())["frame"] for _ in range(2)] == [1, 2]
            (told,) = json.loads(other.readline())["objects"]
    assert (told["state"], told["T_cam_obj"], told["pose_age_ms"]) == ("SUSPECT", None, 1.0)


def test_one_that_does_not_read_is_cut_off_and_the_others_have_all(sink: UnixSocketSink) -> None:
    stuck, good = connected(sink), Reader(connected(sink))
    with stuck:
        count = 0
        while sink.details["cut_off"] == 0:
            assert count < 2000
            sink.send(report(count, object_count=20))
            count += 1
            while len(good.frames) < count - 3 and good.is_alive():  # it keeps up with a camera, not with this loop
                time.sleep(0.001)
        for index in range(count, count + 10):
            sink.send(report(index, object_count=20))
        sink.close()
        good.join(LONG_S)
        assert good.frames == list(range(count + 10))
        assert sink.details == {"clients": 0, "cut_off": 1, "turned_away": 0}


def test_one_that_left_is_forgotten_and_too_many_are_turned_away(sink: UnixSocketSink) -> None:
    clients = [connected(sink) for _ in range(4)]
    sink.send(report(0))
    assert sink.details == {"clients": 3, "cut_off": 0, "turned_away": 1}
    for client in clients:
        client.close()
    for index in range(2):
        sink.send(report(index))
    assert sink.details["clients"] == 0


def test_two_services_on_one_socket_are_one_line(sink: UnixSocketSink) -> None:
    with pytest.raises(OutputError, match=r"poses\.sock: got a socket in use"):
        UnixSocketSink(sink._path, most_waiting_bytes=1, most_clients=1)
