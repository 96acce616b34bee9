"""Checkpoints load whole or not at all, and nothing in them runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from storm_edge.errors import CheckpointError
from storm_edge.networks.checkpoints import load_strictly, read_checkpoint, state_dict_of
from storm_edge.networks.foundationpose import ScoreNet, load_official

State = dict[str, torch.Tensor]


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s, "epoch": 3},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
    ],
)
def test_every_official_container_is_understood(wrap: Callable[[State], Any], tmp_path: Path) -> None:
    source, target = _net(), _net()
    path = tmp_path / "weights.pth"
    torch.save(wrap(source.state_dict()), path)
    load_strictly(target, state_dict_of(read_checkpoint(path), path), path)
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(a, b)


def _renamed(state: State) -> State:
    return {k.replace("weight", "kernel"): v for k, v in state.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if "1." not in k}, r"2 missing \(1.weight, 1.bias\), expected the 4"),
        (lambda s: s | {"extra": torch.zeros(1)}, r"1 unknown \(extra\)"),
        (lambda s: s | {"0.weight": torch.zeros(3, 5)}, r"1 misshapen \(0.weight \(3, 5\) instead of \(3, 2\)\)"),
        (_renamed, r"2 missing \(0.weight, 1.weight\); 2 unknown \(0.kernel, 1.kernel\)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    change: Callable[[State], State], message: str, tmp_path: Path
) -> None:
    net = _net()
    before = net[0].weight.clone()
    with pytest.raises(CheckpointError, match=message) as caught:
        load_strictly(net, change(_net().state_dict()), tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)
    assert torch.equal(net[0].weight, before)


def test_many_faults_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    path = tmp_path / "refine.pth"
    torch.save(_net().state_dict(), path)
    with pytest.raises(CheckpointError, match=r"116 missing \(encoderA.0.net.0.weight, .*, \.\.\.\); 4 unknown"):
        load_official(ScoreNet(), path)


class _Dangerous:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (pytest.fail, ("code in a checkpoint was run",))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"model": _Dangerous()}, path)
    with pytest.raises(CheckpointError, match="a torch file of tensors only"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(_Dangerous()))
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        read_checkpoint(path)


def test_files_that_are_no_checkpoint_end_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"\x80\x02")
    for path in (broken, tmp_path / "absent.pth"):
        with pytest.raises(CheckpointError, match=path.name) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
    torch.save([1, 2], broken)
    with pytest.raises(CheckpointError, match="got list, expected a state dict"):
        state_dict_of(read_checkpoint(broken), broken)
