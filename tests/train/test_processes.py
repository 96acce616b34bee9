"""Two processes as torchrun starts them, over gloo: the same weights, the same steps, one clock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from storm_edge.choices import Network
from storm_edge.train import loop
from storm_edge.train.run_all import train_all
from storm_edge.train.run_log import read_log
from tests.train.test_all import template
from tests.train.toy import toy_source_of

REST = "import sys\nfrom tests.train import test_processes\ntest_processes.run_beside(sys.argv[1])"


def run_beside(out: str) -> None:
    """What each process does: all networks by the clock; it says what each ended with, and leaves no thread."""
    honest = loop.Loop.until_the_end

    def until_the_end(self: loop.Loop) -> str | None:
        ended_by = honest(self)
        weights = sum(float(p.double().abs().sum()) for p in self._run.objective.parameters())
        sys.stdout.write(f"{self._run.config.network.value} {self._run.step} {weights:.9f}\n")
        return ended_by

    loop.Loop.until_the_end = until_the_end  # type: ignore[method-assign]
    train_all(replace(template(Path(out), 0.5), steps=20), source_of=toy_source_of)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in names if "gloo" in name]  # what is left when Python ends may crash


@pytest.mark.slow
def test_two_processes_keep_the_same_weights_and_end_together(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REST, str(tmp_path)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ended = [process.communicate(timeout=500) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], ended
    first, second = (out.splitlines() for out, _ in ended)
    assert first == second
    assert [line.split()[0] for line in first] == [network.value for network in Network]
    steps = [line["step"] for line in read_log(tmp_path / "refine" / "log.jsonl") if "loss" in line]
    assert steps == sorted(set(steps))  # one process alone writes
