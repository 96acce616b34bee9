"""Where the weights of a run start: those of another run, or those of a network bundle."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from storm_edge.choices import Network
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.nano_onnx import load_folded
from storm_edge.train.checkpoint import load_checkpoint
from storm_edge.train.objective import Objective, RefineObjective, ScoreObjective


def is_bundle(path: Path) -> bool:
    """Whether a start is a network bundle, by its name (``nano``) or folder, or one of its ONNX files."""
    return path.is_dir() or path.suffix == ".onnx" or not path.suffix


def start_from(objective: Objective, network: Network, path: Path) -> None:
    """Copy weights into ``objective``.

    Args:
        objective: Of the network to train.
        network: Which network that is.
        path: A bundle, see `is_bundle`; or a checkpoint, whose averaged weights are taken: all, or the trunk if it is
            of another network.

    Raises:
        CheckpointError: The file is no checkpoint and no ONNX, or its network has other widths.
        EngineError: No such bundle, or its files are not what its manifest says.
    """
    if is_bundle(path):
        place = path if path.suffix == ".onnx" else NetworkBundle.load(str(path)).folder
        load_folded(objective.net, network.value, place)
        return
    target: nn.Module = objective
    weights = load_checkpoint(path)["ema"]
    if weights.keys() != objective.state_dict().keys():
        marker = "trunk."
        weights = {k[k.index(marker) + len(marker) :]: v for k, v in weights.items() if marker in k}
        if isinstance(objective, RefineObjective):
            target = objective.net.trunk
        elif isinstance(objective, ScoreObjective):
            target = objective.net.features.trunk
    load_strictly(target, weights, path)
