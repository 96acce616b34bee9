"""Where the weights of a run start: those of another run, or those of a network bundle.

ScoreNet has the trunk of RefineNet: where a start holds no ScoreNet, it begins with that.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from storm_edge.choices import Network
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.nano import NanoRefineNet
from storm_edge.networks.nano_onnx import GRAPHS, load_folded
from storm_edge.train.checkpoint import load_checkpoint
from storm_edge.train.objective import Objective, RefineObjective, ScoreObjective


def is_bundle(path: Path) -> bool:
    """Whether a start is a network bundle, by its name (``nano``) or folder, or one of its ONNX files."""
    return path.is_dir() or path.suffix == ".onnx" or not path.suffix


def holds(path: Path, network: Network) -> bool:
    """Whether a bundle, or the folder of an ONNX file, has all graphs of a network.

    Raises:
        EngineError: There is no such bundle.
    """
    graphs = GRAPHS[network.value]
    if path.suffix == ".onnx":
        return all((path.parent / f"{graph}.onnx").is_file() for graph in graphs)
    return NetworkBundle.load(str(path)).networks.keys() >= graphs.keys()


def start_from(objective: Objective, network: Network, path: Path) -> str | None:
    """Copy weights into ``objective``.

    Args:
        objective: Of the network to train.
        network: Which network that is.
        path: A bundle, see `is_bundle`; or a checkpoint, whose averaged weights are taken: all, or the trunk if it is
            of another network.

    Returns:
        What a user should know of a start with less than the network; None of one with all of it.

    Raises:
        CheckpointError: The file is no checkpoint and no ONNX, or its network has other widths.
        EngineError: No such bundle, one without this network, or its files are not what its manifest says.
    """
    if path.suffix == ".onnx":
        load_folded(objective.net, network.value, path)
        return None
    if is_bundle(path):
        return _start_from_bundle(objective, network, NetworkBundle.load(str(path)))
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
    return None


def _start_from_bundle(objective: Objective, network: Network, bundle: NetworkBundle) -> str | None:
    graphs = GRAPHS[network.value]
    if isinstance(objective, ScoreObjective) and not graphs.keys() <= bundle.networks.keys():
        refine = NanoRefineNet(objective.net.config)
        bundle.require(("refine",), what="ScoreNet and no RefineNet", remedy="leave --start-from out")
        load_folded(refine, Network.REFINE.value, bundle.folder)
        load_strictly(objective.net.features.trunk, refine.trunk.state_dict(), bundle.folder)
        return f"bundle {bundle.name} has no ScoreNet: it starts with the trunk of RefineNet"
    bundle.require(graphs, what=network.value, remedy="leave --start-from out")
    load_folded(objective.net, network.value, bundle.folder)
    return None
