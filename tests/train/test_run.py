"""Runs of a few steps on toy pairs: they learn, log, resume and refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.errors import BackendError, CheckpointError, ConfigError, OutputError
from storm_edge.networks.nano import NanoConfig, NanoRefineNet
from storm_edge.networks.nano_checkpoints import load_nano_refine
from storm_edge.train.checkpoint import load_checkpoint
from storm_edge.train.config import TrainConfig, TrainResult
from storm_edge.train.run import train
from storm_edge.train.schedule import learning_rate, progress
from tests.train.toy import SETS_OF_FOUR, TINY, ToySets, ToySource


def _config(out: Path, network: Network = Network.REFINE) -> TrainConfig:
    return TrainConfig(
        network=network,
        out=out,
        steps=6,
        batch=8,
        generator=SETS_OF_FOUR,
        learning_rate=3e-3,
        warmup_steps=2,
        ema_decay=0.5,
        workers=0,
        threads=1,
        pool=32,
        fill=16,
        held_out=16,
        nano=TINY,
    )


def _train(config: TrainConfig) -> TrainResult:
    source = ToySets if config.network is Network.SCORE else ToySource
    return train(config, source=source, held_out=source)


def _log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_learns_and_leaves_log_checkpoint_and_result(tmp_path: Path) -> None:
    result = _train(replace(_config(tmp_path), steps=50, batch=16, learning_rate=1e-2))
    assert result.steps == 50
    # A twentieth of the way is enough to tell learning from noise: nothing learnt leaves "after" at "before".
    assert result.held_out["far_trans_after_pct"] < 0.8 * result.held_out["far_trans_before_pct"]
    assert any("held_out" in line for line in _log(tmp_path))
    assert json.loads((tmp_path / "result.json").read_text())["steps"] == 50
    assert isinstance(load_nano_refine(result.checkpoint), NanoRefineNet)


@pytest.mark.parametrize("network", [Network.REFINE, Network.SCORE])
def test_the_same_seed_gives_the_same_weights(network: Network, tmp_path: Path) -> None:
    a, b = (load_checkpoint(_train(_config(tmp_path / name, network)).checkpoint)["ema"] for name in "ab")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    _train(_config(tmp_path))
    before = load_checkpoint(tmp_path / "checkpoint.pt")
    result = _train(replace(_config(tmp_path), steps=9, resume=True))
    after = load_checkpoint(tmp_path / "checkpoint.pt")
    assert (before["step"], result.steps, after["step"]) == (6, 9, 9)
    assert after["elapsed_s"] > before["elapsed_s"]
    assert after["drawn"] > before["drawn"]
    assert not list(tmp_path.glob("*.part"))


def test_a_resume_with_other_options_is_refused(tmp_path: Path) -> None:
    _train(_config(tmp_path))
    with pytest.raises(CheckpointError, match="got network refine, expected score"):
        _train(replace(_config(tmp_path, Network.SCORE), resume=True))
    with pytest.raises(CheckpointError, match="resume with the first options"):
        _train(replace(_config(tmp_path), resume=True, nano=NanoConfig()))


def test_score_may_start_from_the_trunk_of_refine(tmp_path: Path) -> None:
    refine = _train(_config(tmp_path / "refine")).checkpoint
    config = replace(_config(tmp_path / "score", Network.SCORE), start_from=refine, steps=1, learning_rate=0.0)
    score = load_checkpoint(_train(config).checkpoint)["model"]
    trunk = {k: v for k, v in load_checkpoint(refine)["ema"].items() if k.endswith("encoder.0.0.weight")}
    ((name, weight),) = trunk.items()
    assert torch.equal(score[name.replace("net.", "net.features.")], weight)
    with pytest.raises(CheckpointError, match="use the checkpoint of this network"):
        _train(replace(config, out=tmp_path / "other", nano=NanoConfig()))


def test_what_cannot_work_is_refused_before_any_work(tmp_path: Path) -> None:
    config = _config(tmp_path / "run")
    with pytest.raises(ConfigError, match="--batch: got 0"):
        _train(replace(config, batch=0))
    with pytest.raises(ConfigError, match="--device: got tpu"):
        _train(replace(config, device="tpu"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        _train(replace(config, out=tmp_path / "file"))
    with pytest.raises(CheckpointError, match="No such file"):
        _train(replace(config, resume=True))
    _train(config)
    with pytest.raises(OutputError, match="add --resume"):
        _train(config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has CUDA here")
def test_cuda_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="use --device cpu"):
        _train(replace(_config(tmp_path), device="cuda"))


def test_the_schedule_warms_up_and_ends_at_a_hundredth_by_steps_or_by_time() -> None:
    assert progress(50, 100, 0.0, None) == 0.5
    assert progress(50, 100, 45.0, 1.0) == 0.75
    assert progress(200, 100, 0.0, 1.0) == 1.0
    assert learning_rate(1.0, 0, 10, 0.0) == pytest.approx(0.1)
    assert learning_rate(1.0, 10, 10, 0.5) == pytest.approx(0.505)
    assert learning_rate(1.0, 10, 10, 1.0) == pytest.approx(0.01)
    # A short run of a slow machine: the warm-up is over by the clock.
    assert learning_rate(1.0, 0, 200, 0.025) == pytest.approx(0.5, abs=0.01)
    assert learning_rate(1.0, 3, 200, 0.05) == pytest.approx(0.99, abs=0.01)
