"""The control socket: what it answers, whom, and what it makes of nonsense."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storm_edge.errors import InputError, OutputError, RunFault
from storm_edge.service import control
from storm_edge.service.control import ControlServer, may_control
from storm_edge.service.control_client import ask
from storm_edge.service.state import ServiceState
from tests.service.conftest import Running, Site, run_service, wait_for

LONG_S = 20.0
NOBODY = 65534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user for a moment")


@contextmanager
def served(path: Path, state: ServiceState | None = None, *, reply_s: float = LONG_S) -> Iterator[ControlServer]:
    server = ControlServer(path, state or ServiceState(), lambda: {"words": "well"}, reply_s=reply_s)
    try:
        yield server
    finally:
        server.close(LONG_S)


def sent(path: Path, data: bytes) -> list[dict[str, Any]]:
    """The answers to some bytes; each is a line of JSON."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LONG_S)
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            return [json.loads(line) for line in stream]


def as_another(work: Callable[[], int]) -> int:
    """What ``work`` returns in a process of another user."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_several_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    with served(tmp_path / "a.sock"):
        answers = sent(tmp_path / "a.sock", b'{"command": "status"}\n{"command": 1}\n{"command": "status"}')
    assert [answer["ok"] for answer in answers] == [True, False, True]
    assert answers[0]["words"] == "well"
    assert not (tmp_path / "a.sock").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\n", "line of JSON"),
        (b"hello\n", "line of JSON"),
        (b"[1]\n", "JSON object"),
        (b"null\n", "JSON object"),
        (b"{}\n", "command, a word"),
        (b'{"command": "status", "comand": 1}\n', "command, a word"),
        (b'{"command": "status", "arguments": []}\n', "command, a word"),
        (b"[" * 60_000 + b"\n", "line of JSON"),
        (b"\xff\xfe\x00\n", "line of JSON"),
        (b"x" * (control.MOST_BYTES + 1), "at most 65536"),
        (b'{"command": "' + b"x" * control.MOST_BYTES + b'"}\n', "at most 65536"),
    ],
)
def test_what_is_no_request_is_answered_by_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    with served(tmp_path / "a.sock"):
        (answer,) = sent(tmp_path / "a.sock", data)
        assert sent(tmp_path / "a.sock", b'{"command": "status"}\n')[0]["ok"]
    assert not answer["ok"]
    assert said in answer["error"]
    assert "\n" not in answer["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
REQUESTS = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"command": st.just("status") | JSON}, optional={"arguments": JSON}).map(
        lambda value: json.dumps(value).encode()
    )
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a server with no loop behind it: commands are refused at once when their queue is full."""
    place = tmp_path_factory.mktemp("control") / "a.sock"
    with served(place, ServiceState(most_commands=1), reply_s=0.01):
        yield place


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=REQUESTS)
def test_whatever_is_sent_gets_an_answer_each_and_the_next_is_served(path: Path, request: bytes) -> None:
    answers = sent(path, request)
    lines = request.split(b"\n")
    assert len(answers) == len(lines) - (lines[-1] == b"")
    for answer in answers:
        assert isinstance(answer["ok"], bool)
        assert "\n" not in str(answer.get("error", ""))
    assert sent(path, b'{"command": "status"}')[0]["ok"]


def test_the_loop_executes_commands_and_its_errors_are_told(running: Running, site: Site) -> None:
    with served(site.folder / "b.sock", running.service.state):
        running.hand_in()
        with pytest.raises(RunFault, match="cup"):
            ask(site.folder / "b.sock", "remove", {"name": "cup"})
        with pytest.raises(RunFault, match="'dance'"):
            ask(site.folder / "b.sock", "dance")
        assert ask(site.folder / "b.sock", "remove", {"name": "box"}) == {"removed": "box"}


def test_a_loop_that_does_not_answer_is_told(tmp_path: Path) -> None:
    state = ServiceState(most_commands=2)
    with served(tmp_path / "a.sock", state, reply_s=0.05):
        for _ in range(2):
            with pytest.raises(RunFault, match="no answer"):
                ask(tmp_path / "a.sock", "reload")
        with pytest.raises(RunFault, match="too many that wait"):
            ask(tmp_path / "a.sock", "reload")
        assert ask(tmp_path / "a.sock", "status") == {"words": "well"}


def test_clients_that_say_nothing_take_no_place_from_others_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.2)
    with served(tmp_path / "a.sock") as server:
        idle = [socket.socket(socket.AF_UNIX) for _ in range(control.MOST_CLIENTS + 1)]
        for client in idle:
            client.connect(str(tmp_path / "a.sock"))
        with idle[-1].makefile() as stream:
            assert "one more client" in json.loads(stream.readline())["error"]
        wait_for(lambda: not server._clients, "the end of the idle ones")
        assert ask(tmp_path / "a.sock", "status") == {"words": "well"}
        for client in idle:
            client.close()


@needs_root
def test_another_user_is_refused_by_the_system_and_by_the_service(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_mode & 0o005 != 0o005:  # pytest's own folders, one more where it runs in processes
            parent.chmod(0o755)

    def connect() -> int:
        try:
            ask(path, "status")
        except InputError as error:
            return 1 if "Permission denied" in str(error) else 2
        except RunFault as error:
            return 3 if f"user {NOBODY}" in str(error) else 4
        return 0

    with served(path):
        assert as_another(connect) == 1
        path.chmod(0o666)
        assert as_another(connect) == 3
        os.chown(path, 0, NOBODY)
        assert may_control(NOBODY, path)
        assert as_another(connect) == 0


def test_a_socket_in_use_is_one_line(tmp_path: Path) -> None:
    with served(tmp_path / "a.sock"), pytest.raises(OutputError, match="in use"):
        ControlServer(tmp_path / "a.sock", ServiceState(), dict)


def test_no_service_and_another_kind_of_server_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        ask(tmp_path / "none.sock", "status")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        with pytest.raises(InputError, match="Connection refused"):
            ask(tmp_path / "other.sock", "status")


def test_a_service_removes_its_socket_at_its_end(site: Site) -> None:
    site.write(objects=[], control={"path": "c.sock"})
    with run_service(site) as made:
        made.hand_in()
        assert ask(site.folder / "c.sock", "status")["phase"] == "running"
    assert not (site.folder / "c.sock").exists()
