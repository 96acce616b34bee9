"""Who may launch: one thread at a time where there are streams, every thread on a CPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import warp as wp

from storm_edge.errors import BackendError
from storm_edge.kernels.streams import lane_streams, on_stream


def test_a_cpu_has_no_streams() -> None:
    streams = lane_streams("cpu", shared=False)
    assert streams.track is None
    assert streams.background is None
    with on_stream(None), on_stream(None):
        pass
    with pytest.raises(BackendError):
        lane_streams("cuda:99", shared=False)


def test_nobody_launches_while_another_thread_has_its_stream_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warp's current stream is the device's, whichever thread asks: seen here by what each finds current."""
    current: list[str] = ["the device's own"]

    @contextmanager
    def scoped(stream: str, *, sync_enter: bool) -> Iterator[None]:
        assert not sync_enter
        before, current[0] = current[0], stream
        yield
        current[0] = before

    monkeypatch.setattr(wp, "ScopedStream", scoped)
    wrong: list[str] = []

    def launches(mine: str) -> None:
        for _ in range(40):
            with on_stream(mine):
                time.sleep(0.0005)
                with on_stream(mine):  # a step within a frame
                    wrong.extend([current[0]] * (current[0] != mine))
                time.sleep(0.0005)
                wrong.extend([current[0]] * (current[0] != mine))

    threads = [threading.Thread(target=launches, args=(name,)) for name in ("track", "beside")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
        assert not thread.is_alive()
    assert wrong == []
    assert current == ["the device's own"]


@pytest.mark.gpu
def test_tracking_has_the_higher_priority_and_one_stream_serves_both_where_asked(cuda: str) -> None:
    streams = lane_streams(cuda, shared=False)
    assert streams.track.priority < streams.background.priority
    one = lane_streams(cuda, shared=True)
    assert one.track is one.background
    assert lane_streams(cuda, shared=False) is streams
