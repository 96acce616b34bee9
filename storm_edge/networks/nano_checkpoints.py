"""Nano networks from the checkpoints that ``storm-edge train`` writes: their averaged weights, in eval mode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.networks.checkpoints import load_strictly, read_checkpoint
from storm_edge.networks.nano import NanoConfig, NanoRefineNet, NanoScoreNet
from storm_edge.networks.nano_som import NanoSom, NanoSomConfig
from storm_edge.networks.nano_tom import NanoTom, NanoTomConfig

Net = TypeVar("Net", bound=nn.Module)


def load_nano_refine(path: Path) -> NanoRefineNet:
    """The RefineNet of a checkpoint.

    Raises:
        CheckpointError: The file is no such checkpoint.
    """
    widths, weights = _content(path, "refine")
    return _loaded(NanoRefineNet(NanoConfig(**widths)), weights, path)


def load_nano_score(path: Path) -> NanoScoreNet:
    """The ScoreNet of a checkpoint; errors as `load_nano_refine`."""
    widths, weights = _content(path, "score")
    return _loaded(NanoScoreNet(NanoConfig(**widths)), weights, path)


def load_nano_som(path: Path) -> NanoSom:
    """The segmenter of a checkpoint; errors as `load_nano_refine`."""
    widths, weights = _content(path, "som")
    # Tuples come back from the checkpoint as lists.
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in widths.items()}
    return _loaded(NanoSom(NanoSomConfig(**settings)), weights, path)


def load_nano_tom(path: Path) -> NanoTom:
    """The verifier of a checkpoint; errors as `load_nano_refine`."""
    widths, weights = _content(path, "tom")
    return _loaded(NanoTom(NanoTomConfig(**widths)), weights, path)


def _content(path: Path, network: str) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """Widths and averaged weights."""
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not {"network", "nano", "ema"} <= content.keys():
        raise CheckpointError(mismatch(path, "other content", "a checkpoint of storm-edge train", "check the path"))
    if content["network"] != network:
        got, remedy = f"network {content['network']}", "give the checkpoint of this network"
        raise CheckpointError(mismatch(path, got, network, remedy))
    return content["nano"], {key.removeprefix("net."): value for key, value in content["ema"].items()}


def _loaded(net: Net, weights: Mapping[str, Tensor], path: Path) -> Net:
    load_strictly(net, weights, path)
    return net.eval()
