from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from storm_edge.errors import OutputError
from storm_edge.listening import is_loopback, listen_on, remove_socket


def test_a_socket_is_for_its_owner_and_group_and_goes_when_closed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.sock"
    made = listen_on(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    remove_socket(path, made)
    assert not path.exists()
    remove_socket(path, made)


def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    made = listen_on(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    remove_socket(path, made)


def test_a_socket_in_use_or_another_file_is_one_line_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    made = listen_on(path)
    with pytest.raises(OutputError, match="in use"):
        listen_on(path)
    remove_socket(path, made)
    path.write_text("mine")
    with pytest.raises(OutputError, match="another file"):
        listen_on(path)
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_or_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="shorter path"):
        listen_on(tmp_path / ("x" * 120))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="free place for a socket"):
        listen_on(tmp_path / "file" / "a.sock")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user for a moment")
def test_a_folder_of_another_user_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir(mode=0o755)
    for parent in [folder, *folder.parents][:4]:
        parent.chmod(parent.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            listen_on(folder / "a.sock")
        except OutputError as error:
            os._exit(0 if "Permission denied" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("*", False),
        ("robot.local", False),
    ],
)
def test_what_is_reached_from_this_machine_alone(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here
