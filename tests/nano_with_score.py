"""Nano bundles with another ScoreNet than the one that ships, as a user has who trained one, and with none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.engines.scorers import SPLIT


def tiny_scorenet(folder: Path) -> None:
    """Write both graphs of a ScoreNet whose answer is known by hand, see `tests.engines.tiny`."""
    from tests.engines import tiny

    tiny.score_features(folder / f"{SPLIT[0]}.onnx", size_px=NetworkBundle.load("nano").size_px)
    tiny.score_attention(folder / f"{SPLIT[1]}.onnx")


def random_scorenet(folder: Path) -> None:
    """Write both graphs of a ScoreNet of the usual widths with random weights; needs torch."""
    import torch

    from storm_edge.export.networks.pose import export_score
    from storm_edge.networks.nano import SIZE_PX, NanoScoreNet

    torch.manual_seed(0)
    net = NanoScoreNet()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:  # those of two norms would be the same, and one constant of the file
                parameter += 0.1 * torch.randn_like(parameter)
        net(*torch.rand(2, 3, 4, 6, SIZE_PX, SIZE_PX))  # statistics for the BatchNorms to fold
    net.eval()
    export_score(net.features, net.attention, folder)


def write_nano_with_score(folder: Path, scorenet: Callable[[Path], None] = tiny_scorenet) -> Path:
    """Write the shipped networks with another ScoreNet.

    Args:
        folder: Of the bundle; it is made.
        scorenet: Writes both graphs into it.
    """
    others = _copy_others(folder)
    scorenet(folder)
    return _finished(folder, "mine", [*others, *SPLIT])


def write_nano_without_score(folder: Path) -> Path:
    """Write the shipped networks but ScoreNet; ``folder`` is made."""
    return _finished(folder, "bare", _copy_others(folder))


def _copy_others(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    others = {name: file for name, file in NetworkBundle.load("nano").networks.items() if name not in SPLIT}
    for name, file in others.items():
        shutil.copyfile(file.path, folder / f"{name}.onnx")
    return list(others)


def _finished(folder: Path, name: str, networks: list[str]) -> Path:
    shipped = NetworkBundle.load("nano")
    files = {network: f"{network}.onnx" for network in networks}
    write_manifest(folder, name=name, size_px=shipped.size_px, preset=shipped.preset, networks=files)
    return folder
