"""Bad luck in mid-run: a full device, a full disk. One line each, and nothing lost."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.errors import BackendError, ConfigError, MeshError, OutputError
from storm_edge.generator.contract import Batch
from storm_edge.train import loop
from storm_edge.train.checkpoint import load_checkpoint, save_checkpoint
from storm_edge.train.config import TrainConfig
from storm_edge.train.run import train
from storm_edge.train.run_log import read_log
from tests.train.toy import TINY, ToySource


@contextmanager
def disk_cleared_after() -> Iterator[None]:
    """Undo `full_disk` within the test: pytest writes its own progress before fixtures end, perhaps to a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def full_disk() -> None:
    """From now on no file of this process grows beyond a kilobyte, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))


def config(out: Path) -> TrainConfig:
    return TrainConfig(
        network=Network.REFINE, out=out, steps=8, batch=8, warmup_steps=2, threads=1, workers=0, chunk=8, pool=16,
        fill=8, held_out=8, nano=TINY,
    )  # fmt: skip


def no_room_above(items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that has no memory for larger batches."""
    honest = loop.Stepper.step

    def step(self: loop.Stepper, batch: Batch, *, number: int, rate: float) -> None:
        if len(batch["rendered"]) > items:
            raise torch.OutOfMemoryError("CUDA out of memory")
        honest(self, batch, number=number, rate=rate)

    monkeypatch.setattr(loop.Stepper, "step", step)


def test_a_batch_without_room_is_halved_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    no_room_above(2, monkeypatch)
    with caplog.at_level(logging.WARNING, logger="storm_edge"):
        result = train(config(tmp_path), source=ToySource, held_out=ToySource)
    assert result.steps == 8
    told = [r.getMessage() for r in caplog.records if "no room" in r.getMessage()]
    assert told == [f"cpu: no room for the batch; it has {n} items now" for n in (4, 2)]
    assert [r["batch"] for r in read_log(tmp_path / "log.jsonl") if r.get("no_room")] == [4, 2]


def test_a_device_without_room_for_one_item_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_room_above(0, monkeypatch)
    with pytest.raises(BackendError, match="--device cpu: got no memory left, expected room for a batch of 1"):
        train(config(tmp_path), source=ToySource, held_out=ToySource)


class Cramped(ToySource):
    """A source on a device that has no memory for large chunks."""

    def batch(self, items: int) -> Batch:
        if items > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().batch(items)


def test_a_pool_without_room_keeps_less(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="storm_edge"):
        result = train(config(tmp_path), source=Cramped, held_out=ToySource)
    assert result.steps == 8
    assert "cpu: no room for the pool; it keeps 4 items now" in caplog.text


class FillsTheDisk(ToySource):
    """A source beside which the disk fills up, at its fourth chunk."""

    def __init__(self, seed: int, device: torch.device) -> None:
        super().__init__(seed, device)
        self.chunks = 0

    def batch(self, items: int) -> Batch:
        self.chunks += 1
        if self.chunks == 4:
            full_disk()
        return super().batch(items)


def test_a_full_disk_leaves_the_old_checkpoint_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = replace(config(tmp_path), steps=30, reuse=2.0, checkpoint_every_s=0.0, log_every_s=0.0)
    watched = caplog.at_level(logging.WARNING, logger="storm_edge")
    with disk_cleared_after(), watched, pytest.raises(OutputError, match=r"checkpoint\.pt"):
        train(asked, source=FillsTheDisk, held_out=ToySource)
    assert "training goes on" in caplog.text
    kept = load_checkpoint(tmp_path / "checkpoint.pt")
    assert 0 < kept["step"] < 30
    assert not list(tmp_path.glob(".*part*"))
    result = train(replace(asked, resume=True), source=ToySource, held_out=ToySource)
    assert result.steps == 30


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"the old one")
    with disk_cleared_after():
        full_disk()
        with pytest.raises(OutputError, match="with room for a checkpoint") as caught:
            save_checkpoint(path, {"model": {"weight": torch.zeros(10_000)}})
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    train(config(tmp_path), source=ToySource, held_out=ToySource)
    (tmp_path / ".checkpoint.pt.part-12345").write_bytes(b"half")
    train(replace(config(tmp_path), resume=True, steps=9), source=ToySource, held_out=ToySource)
    assert not list(tmp_path.glob(".*part*"))


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_no_time_is_refused(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(ConfigError, match="expected more than 0"):
        train(replace(config(tmp_path), minutes=minutes), source=ToySource, held_out=ToySource)


class NoMesh(ToySource):
    """A source whose folder of models holds a broken one."""

    def __init__(self, seed: int, device: torch.device) -> None:
        raise MeshError("models/cup.ply: got no faces, expected a surface; remove it")


def test_a_broken_model_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="no faces"):
        train(config(tmp_path), source=NoMesh, held_out=ToySource)
