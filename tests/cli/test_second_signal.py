"""A second signal ends a process that native code holds; the first one and its echo do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_edge.cli.second_signal import GRACE_S

HELD = """
import hashlib, sys
from storm_edge.cli import doctor, main
from storm_edge.result_folder import ResultFolder
from storm_edge.result_kind import ResultKind

def command():
    with ResultFolder(sys.argv[1], ResultKind(command="storm-edge held", marker="a.json", keys=frozenset())):
        print("here", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # native, for minutes, deaf to signals

main.app.command("held")(command)
main.run(["held"])
"""


def until_in_native_code(process: subprocess.Popen[str]) -> None:
    """Until it has computed for a while since it said that it is there; the statement between takes nothing."""
    began_s = cpu_s(process)
    while cpu_s(process) - began_s < 0.2:
        assert process.poll() is None
        time.sleep(0.01)


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Processor time that a process has used [s]."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_second_signal_ends_native_code(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            until_in_native_code(process)
            process.send_signal(number)
            process.send_signal(number)  # the same press, passed on by what started it
            time.sleep(GRACE_S + 0.5)
            assert process.poll() is None
            process.send_signal(number)
            _, told = process.communicate(timeout=300)  # the hash alone takes longer
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert told.count("\n") == 1
    assert "twice, so it ended at once" in told
    assert ".out.partial-" in told
