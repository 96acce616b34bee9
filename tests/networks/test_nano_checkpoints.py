"""Nano networks come back from their checkpoints with the averaged weights, and only from their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_edge.errors import CheckpointError
from storm_edge.networks.nano import NanoConfig, NanoRefineNet, NanoScoreNet
from storm_edge.networks.nano_checkpoints import load_nano_refine, load_nano_score, load_nano_som, load_nano_tom
from storm_edge.networks.nano_som import NanoSom
from storm_edge.networks.nano_tom import NanoTom, NanoTomConfig

TINY = NanoConfig(stem=4, encoder=4, cells=8, context=8, features=8)
SMALL_TOM = NanoTomConfig(stem=8, encoder=8, middle=8, top=8, reduced=4, features=8, hidden=8)
LOADERS: dict[str, Callable[[Path], Any]] = {
    "refine": load_nano_refine,
    "score": load_nano_score,
    "som": load_nano_som,
    "tom": load_nano_tom,
}


def network(name: str) -> Any:
    made = {"refine": NanoRefineNet, "score": NanoScoreNet, "som": NanoSom, "tom": NanoTom}[name]
    widths = {"refine": (TINY,), "score": (TINY,), "som": (), "tom": (SMALL_TOM,)}[name]
    return made(*widths)


def checkpoint(path: Path, name: str) -> tuple[Path, Any]:
    """A file as ``storm-edge train`` writes it, which keeps tuples as lists."""
    net = network(name)
    widths = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(net.config).items()}
    averaged = {f"net.{k}": v for k, v in net.state_dict().items()}
    torch.save({"network": name, "nano": widths, "ema": averaged}, path)
    return path, net


@pytest.mark.parametrize("name", LOADERS)
def test_a_trained_network_comes_back_with_its_averaged_weights(name: str, tmp_path: Path) -> None:
    path, net = checkpoint(tmp_path / "checkpoint.pt", name)
    loaded = LOADERS[name](path)
    assert isinstance(loaded, type(net))
    assert not loaded.training
    assert loaded.config == net.config
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", LOADERS)
def test_a_checkpoint_of_another_network_is_refused(name: str, tmp_path: Path) -> None:
    other = "tom" if name != "tom" else "som"
    path, _ = checkpoint(tmp_path / "other.pt", other)
    with pytest.raises(CheckpointError, match=f"got network {other}, expected {name}; give the checkpoint of this"):
        LOADERS[name](path)


@pytest.mark.parametrize("name", LOADERS)
def test_a_file_that_is_no_training_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    torch.save({"network": name}, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="a checkpoint of storm-edge train"):
        LOADERS[name](tmp_path / "bare.pt")
