"""What the log says of speed, and the picture of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from storm_edge.errors import OutputError
from storm_edge.train.curves import draw_curves
from storm_edge.train.device_clock import DeviceClock
from storm_edge.train.every import Every
from storm_edge.train.run_log import RunLog, read_log
from storm_edge.train.speed import SpeedMeter


def _work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_the_share_of_a_part_is_its_processor_time_against_the_wall_and_the_threads() -> None:
    clock = DeviceClock(torch.device("cpu"), 2)
    began = time.monotonic()
    with clock.part("drawing"):
        _work(0.05)
    with clock.part("learning"):
        _work(0.1)
        time.sleep(0.1)
    shares = clock.read()
    available_s = 2.0 * (time.monotonic() - began)
    assert shares["computing_drawing"] == pytest.approx(0.05 / available_s, rel=0.2)
    assert shares["computing_learning"] == pytest.approx(0.1 / available_s, rel=0.2)
    assert shares["computing"] == pytest.approx(0.15 / available_s, rel=0.2)
    assert clock.read()["computing"] < 1.0


class FakeEvent:
    """An event of a device whose clock is a list: each record is at the next of its times [ms]."""

    times_ms: ClassVar[list[float]] = []

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: object) -> None:
        self.at_ms = FakeEvent.times_ms.pop(0)

    def elapsed_time(self, other: FakeEvent) -> float:
        return other.at_ms - self.at_ms


def test_on_a_gpu_shares_are_times_between_events_of_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    waited: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 87)
    FakeEvent.times_ms = [0.0, 10.0, 12.0, 40.0, 41.0, 51.0]
    clock = DeviceClock(torch.device("cuda:0"), 7)
    began = time.monotonic()
    for name in ("drawing", "learning", "drawing"):
        with clock.part(name):
            pass
    time.sleep(0.1)
    shares = clock.read()
    passed_s = time.monotonic() - began
    assert waited == [torch.device("cuda:0")]
    assert shares["computing_drawing"] == pytest.approx(0.020 / passed_s, rel=0.1)
    assert shares["computing_learning"] == pytest.approx(0.028 / passed_s, rel=0.1)
    assert shares["computing"] == pytest.approx(0.048 / passed_s, rel=0.1)
    assert shares["kernels"] == 0.87


def test_speeds_are_of_the_time_since_the_last_reading_and_of_all() -> None:
    meter = SpeedMeter(DeviceClock(torch.device("cpu"), 1))
    assert meter.total() == {}
    time.sleep(0.02)
    began = time.monotonic()
    meter.start(100, 0)
    time.sleep(0.05)
    first = meter.read(150, 20)
    time.sleep(0.05)
    second = meter.read(150, 40)
    passed_s = time.monotonic() - began
    assert first["drawn_per_s"] > 0.0
    assert second["drawn_per_s"] == 0.0
    total = meter.total()
    assert total["drawn_per_s"] == pytest.approx(50 / passed_s, rel=0.1)
    assert total["trained_per_s"] == pytest.approx(40 / passed_s, rel=0.1)
    assert 0.0 <= total["computing"] <= 1.0


def test_something_is_due_once_an_interval() -> None:
    every = Every(10.0, first_s=5.0)
    assert [every.is_due(now) for now in (4.0, 5.0, 5.1, 14.9, 15.0, 40.0, 45.0)] == [
        False, True, False, False, True, True, False,
    ]  # fmt: skip


def test_the_log_is_read_in_spite_of_torn_lines_and_drawn(tmp_path: Path) -> None:
    log = RunLog(tmp_path, "refine")
    for step in range(5):
        log.add(
            {"step": step, "elapsed_s": 60.0 * step, "rate": 1e-3, "loss": 1.23456 - 0.1 * step, "computing": 0.9}
        )
    log.add({"step": 4, "elapsed_s": 240.0, "held_out": True, "far_rot_after_deg": 9.0, "iou": 0.6})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "ela')  # a kill, or a full disk
    records = read_log(tmp_path / "log.jsonl")
    assert len(records) == 6
    assert records[0]["loss"] == 1.235
    log.draw()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_that_cannot_be_written_are_told_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(OutputError):
        draw_curves(tmp_path / "curves.png", [], title="nothing")
    log = RunLog(tmp_path, "refine")
    log.add({"step": 1, "elapsed_s": 1.0, "rate": 1.0})
    log.draw()
    log.draw()
    assert caplog.text.count("training goes on") == 1
