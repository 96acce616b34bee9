"""Launches by several threads: each row once, results as by one thread, errors and Ctrl-C, forks and the end."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import warp as wp

import storm_edge.kernels
from storm_edge.kernels import host_threads
from storm_edge.kernels.device import require_device
from storm_edge.kernels.host_threads import launching_on, run_at_once, slices
from storm_edge.kernels.launch_cache import LaunchCache, RecordedLaunches, launch_rows

DEADLINE_S = 60.0


@wp.kernel
def add_row_number(first: int, values: wp.array(dtype=wp.float32), out: wp.array(dtype=wp.float32)):
    """A row per thread."""
    n = first + wp.tid()
    out[n] += values[n] + float(n)


def test_without_a_word_there_is_one_slice() -> None:
    assert slices(100, 1) == [(0, 100)]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 5, 42, 1001])
@pytest.mark.parametrize("least", [1, 10])
def test_slices_hold_every_row_once(threads: int, count: int, least: int) -> None:
    with launching_on(threads):
        made = slices(count, least)
    assert [row for first, length in made for row in range(first, first + length)] == list(range(count))
    assert all(length >= min(least, count) for _, length in made)


def test_what_is_allowed_ends_with_its_block_and_is_of_its_thread() -> None:
    seen = []
    with launching_on(4):
        with launching_on(1):
            assert len(slices(100, 1)) == 1
        assert len(slices(100, 1)) > 1
        other = threading.Thread(target=lambda: seen.append(len(slices(100, 1))))
        other.start()
        other.join()
    assert len(slices(100, 1)) == 1
    assert seen == [1]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("way", ["cached", "recorded", "once"])
def test_rows_are_as_by_one_thread(way: str, threads: int) -> None:
    device = require_device("cpu")
    cache, recorded = LaunchCache(device), RecordedLaunches(device)
    values = wp.array(np.arange(37, dtype=np.float32), device="cpu")
    other = wp.array(np.full(37, 5.0, dtype=np.float32), device="cpu")
    out = wp.zeros(37, dtype=wp.float32, device="cpu")
    with launching_on(threads):
        for given in (values, other, values):
            if way == "cached":
                cache.launch_rows(add_row_number, 37, [given, out], changing=(0,))
            elif way == "recorded":
                recorded.launch_rows(id(given), add_row_number, 37, lambda given=given: [given, out])
            else:
                launch_rows(add_row_number, 37, [given, out], device=device, least=4)
    rows = np.arange(37, dtype=np.float32)
    np.testing.assert_array_equal(out.numpy(), 2 * (rows + rows) + (5.0 + rows))


def test_no_kernel_has_what_warp_shares_between_launches() -> None:
    """On x86-64 all launches of a module find their tiles through one pointer, so two at once would mix them up."""
    folder = Path(storm_edge.kernels.__file__).parent
    sources = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    assert len(sources) > 20
    assert not [path.name for path, text in sources.items() if "wp.tile" in text]


def test_two_threads_work_at_once() -> None:
    """Each waits for the other: by one thread this would never end."""
    met = threading.Barrier(2)
    with launching_on(2):
        run_at_once([lambda: met.wait(DEADLINE_S), lambda: met.wait(DEADLINE_S)] * 3)


def test_who_launches_does_all_where_no_helper_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where other processes have all cores."""
    offered, done = [], []
    monkeypatch.setattr(host_threads._helpers, "offer", lambda work, count: offered.append((work, count)))
    with launching_on(3):
        run_at_once([lambda k=k: done.append(k) for k in range(8)])
    assert sorted(done) == list(range(8))
    [(work, count)] = offered
    assert count == 2
    work.help()  # it comes late, and finds nothing
    assert len(done) == 8


def test_an_error_of_either_thread_is_that_of_the_launch() -> None:
    met = threading.Barrier(2)

    def failing_on_another_thread() -> None:
        met.wait(DEADLINE_S)
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("row 3")

    with launching_on(2), pytest.raises(ValueError, match="row 3"):
        run_at_once([failing_on_another_thread] * 2)
    with launching_on(2):
        run_at_once([lambda: None] * 2)  # and the next launch is a good one


def test_memory_is_free_after_ctrl_c() -> None:
    """What a helper is doing has ended when the interrupt goes on; what nobody began is not begun."""
    begun, may_end, ended = threading.Barrier(2), threading.Event(), []

    def work() -> None:
        begun.wait(DEADLINE_S)
        if threading.current_thread() is threading.main_thread():
            threading.Timer(0.05, may_end.set).start()
            raise KeyboardInterrupt
        may_end.wait(DEADLINE_S)
        ended.append(True)

    with launching_on(2), pytest.raises(KeyboardInterrupt):
        run_at_once([work] * 2)
    assert ended == [True]


PROGRAM = """
import os, threading
from storm_edge.kernels.host_threads import launching_on, run_at_once

def at_once():
    met = threading.Barrier(2)
    with launching_on(2):
        run_at_once([lambda: met.wait(60.0)] * 2)

at_once()
child = os.fork()
if child == 0:
    at_once()  # the helpers of the parent are not there
    print("child", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
at_once()
print("parent", flush=True)
"""


def test_a_fork_has_helpers_of_its_own_and_the_program_ends() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, ["child", "parent"], "")
