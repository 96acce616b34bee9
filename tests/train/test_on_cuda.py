"""Training on a GPU: a few steps of every network on the generator's pictures; half precision, a clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.generator.config import GeneratorConfig, PoolConfig
from storm_edge.train.config import TrainConfig
from storm_edge.train.run import train
from storm_edge.train.run_log import read_log

SMALL = GeneratorConfig(pool=PoolConfig(objects=12, props=4, furniture=4))


@pytest.mark.gpu
@pytest.mark.parametrize("network", list(Network))
def test_a_few_steps_of_every_network(network: Network, tmp_path: Path, cuda: str) -> None:
    config = TrainConfig(
        network=network, out=tmp_path, device=cuda, steps=40, batch=64, chunk=128, pool=256, fill=128, held_out=64,
        generator=SMALL, log_every_s=0.5,
    )  # fmt: skip
    result = train(config)
    assert result.steps == 40
    assert result.skipped == 0
    assert 0.0 < result.speed["computing"] <= 1.05
    losses = [line["loss"] for line in read_log(tmp_path / "log.jsonl") if "loss" in line]
    assert all(loss == loss for loss in losses)
    assert json.loads((tmp_path / "result.json").read_text())["device"] == cuda


@pytest.mark.gpu
def test_a_gpu_that_is_full_gets_a_smaller_batch(tmp_path: Path, cuda: str) -> None:
    """All but two GiB of the memory are taken away first, so that there is no room for the batch asked for."""
    _, total_bytes = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(2 * 2**30 / total_bytes, 1.0))
    try:
        config = TrainConfig(
            network=Network.REFINE, out=tmp_path, device=cuda, steps=3, batch=4096, chunk=128, pool=512, fill=256,
            held_out=64, generator=SMALL,
        )  # fmt: skip
        assert train(config).steps == 3
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any(line.get("no_room") for line in read_log(tmp_path / "log.jsonl"))
