"""Recordings: eager on a CPU; with a graph, launched once, captured once, replayed from then on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import warp as wp

from storm_edge.kernels.device import require_device
from storm_edge.kernels.graph_recording import GraphRecording


@wp.kernel
def add_kernel(source: wp.array(dtype=wp.float32), target: wp.array(dtype=wp.float32)):  # type: ignore[valid-type]
    i = wp.tid()
    target[i] = target[i] + source[i]


def test_without_a_graph_every_run_launches() -> None:
    done = []
    recording = GraphRecording(stream=None, as_graph=False)
    for _ in range(3):
        recording.run(lambda: done.append("launch"))
    assert done == ["launch"] * 3
    assert not recording.is_captured


def test_a_graph_is_warmed_up_captured_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Capture:
        graph = "the graph"

        def __init__(self, **_: object) -> None:
            pass

        def __enter__(self) -> Capture:
            done.append("begin")
            return self

        def __exit__(self, *_: object) -> None:
            done.append("end")

    monkeypatch.setattr(wp, "ScopedCapture", Capture)
    monkeypatch.setattr(wp, "synchronize_stream", lambda stream: done.append("wait"))
    monkeypatch.setattr(wp, "capture_launch", lambda graph, stream: done.append(f"replay {graph}"))
    recording = GraphRecording(stream=SimpleNamespace(), as_graph=True)
    recording.run(lambda: done.append("launch"))
    assert done == ["launch", "wait", "begin", "launch", "end"]
    assert recording.is_captured
    recording.run(lambda: done.append("launch"))
    assert done[5:] == ["replay the graph"]


@pytest.mark.gpu
def test_a_graph_reads_what_is_in_the_buffers_now(cuda: str) -> None:
    device = require_device(cuda)
    stream = wp.Stream(device)
    source = wp.ones(4, dtype=wp.float32, device=device)
    target = wp.zeros(4, dtype=wp.float32, device=device)
    recording = GraphRecording(stream=stream, as_graph=True)

    def launches() -> None:
        wp.launch(add_kernel, dim=4, inputs=[source, target], device=device)

    wp.synchronize_device(device)
    with wp.ScopedStream(stream):
        recording.run(launches)
        np.testing.assert_array_equal(target.numpy(), 1.0)
        source.fill_(5.0)
        recording.run(launches)
        recording.run(launches)
        np.testing.assert_array_equal(target.numpy(), 11.0)
