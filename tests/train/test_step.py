"""A step without a finite gradient: weights, averages and statistics stay as they were, and it is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.errors import RunFault
from storm_edge.generator.contract import Batch
from storm_edge.train.checkpoint import load_checkpoint
from storm_edge.train.config import TrainConfig
from storm_edge.train.ema import AveragedModel
from storm_edge.train.objective import make_objective
from storm_edge.train.run import train
from storm_edge.train.run_log import read_log
from storm_edge.train.step import Stepper
from tests.train.toy import TINY, ToySource

CPU = torch.device("cpu")


class Spoilt(ToySource):
    """A source that gives what is not a number, from its third chunk on: in the images, so in the statistics, too."""

    def __init__(self, seed: int, device: torch.device) -> None:
        super().__init__(seed, device)
        self.chunks = 0

    def batch(self, items: int) -> Batch:
        batch = super().batch(items)
        self.chunks += 1
        if self.chunks > 2:
            batch["observed"][:, :, 40, 40] = torch.nan
        return batch


def _config(out: Path) -> TrainConfig:
    return TrainConfig(
        network=Network.REFINE, out=out, steps=30, batch=8, warmup_steps=2, threads=1, workers=0, chunk=8, pool=8,
        fill=8, reuse=1.0, held_out=8, nano=TINY, bad_steps=5,
    )  # fmt: skip


def test_a_bad_step_changes_nothing() -> None:
    torch.manual_seed(0)
    objective = make_objective(TrainConfig(network=Network.REFINE, out=Path(), nano=TINY))
    optimizer = torch.optim.AdamW(objective.parameters(), fused=True)
    average = AveragedModel(objective, 0.5)
    stepper = Stepper(objective, objective, average, optimizer)
    good = ToySource(1, CPU).batch(8)
    bad = {**good, "observed": good["observed"].clone()}
    bad["observed"][3, 4, 40, 40] = torch.nan
    stepper.step(good, number=0, rate=1e-3)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    stepper.step(bad, number=1, rate=1e-3)
    assert (stepper.bad_in_a_row(), stepper.skipped()) == (1, 1)
    for key, value in objective.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, before[key]), key
    assert all(torch.isfinite(value).all() for value in average.module.state_dict().values())
    assert torch.isfinite(torch.tensor(stepper.means()["loss"]))
    stepper.step(good, number=2, rate=1e-3)
    assert (stepper.bad_in_a_row(), stepper.skipped()) == (0, 1)
    assert not torch.equal(objective.state_dict()["net.motion.weight"], before["net.motion.weight"])


def test_a_run_ends_after_many_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with pytest.raises(RunFault, match="training refine: got 5 steps in a row without a finite gradient") as caught:
        train(config, source=Spoilt, held_out=ToySource)
    assert "\n" not in str(caught.value)
    content = load_checkpoint(tmp_path / "checkpoint.pt")
    for part in ("model", "ema"):
        assert all(torch.isfinite(value).all() for value in content[part].values())
    assert content["skipped"] == 5
    assert read_log(tmp_path / "log.jsonl")[-1]["skipped"] == 5
    # With sound items it goes on from there, and its count with it.
    result = train(replace(config, resume=True, steps=content["step"] + 3), source=ToySource, held_out=ToySource)
    assert result.skipped == 5
    assert json.loads((tmp_path / "result.json").read_text())["skipped"] == 5
