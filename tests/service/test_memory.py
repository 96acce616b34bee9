"""Memory goes back to the system now and then, beside the loop."""

from __future__ import annotations

import threading

import pytest

from storm_edge.service import memory


def test_memory_is_given_back_now_and_then_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[str] = []
    twice = threading.Event()

    def give_back() -> None:
        times.append(threading.current_thread().name)
        if len(times) > 1:
            twice.set()

    monkeypatch.setattr(memory, "give_back_memory", give_back)
    returned = memory.MemoryReturn(0.001)
    assert twice.wait(60.0)
    returned.close(60.0)
    count = len(times)
    assert set(times) == {"memory"}
    returned.close(60.0)
    assert len(times) == count


def test_giving_back_does_no_harm() -> None:
    memory.give_back_memory()
