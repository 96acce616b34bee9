"""The FP32 graphs a recipe starts from: exported from a checkpoint, or taken as somebody published them.

Either way each file is run against something that did not make it: a checkpoint's against torch, a published file
against ONNX's own reference implementation (`published`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import ConfigError, EngineError, mismatch
from storm_edge.export.networks.nano import export_nano_som, export_nano_tom
from storm_edge.export.networks.pose import export_refine, export_score
from storm_edge.export.networks.sam2 import export_sam2
from storm_edge.export.networks.som import export_som
from storm_edge.export.networks.tom import export_similarity, export_tom
from storm_edge.export.published import Fp32Graph, take_published
from storm_edge.export.recipe import Recipe
from storm_edge.networks.dinov2 import VIT_S14, Dinov2, load_dinov2
from storm_edge.networks.foundationpose import SIZE_PX as FULL_PX
from storm_edge.networks.foundationpose import RefineNet, ScoreNet, load_official
from storm_edge.networks.nano import NanoRefineNet, NanoScoreNet
from storm_edge.networks.nano_checkpoints import load_nano_refine, load_nano_score, load_nano_som, load_nano_tom
from storm_edge.networks.nano_som import NanoSom
from storm_edge.networks.nano_tom import NanoTom
from storm_edge.networks.sam2 import build_sam2, load_sam2
from storm_edge.networks.som import Som, SomConfig, load_som
from storm_edge.networks.tom import Tom, load_tom


@dataclass(frozen=True, kw_only=True)
class Fp32Network:
    """The graphs of a recipe."""

    graphs: Mapping[str, Fp32Graph]
    """By name."""
    origin: str
    """Where the weights are from, in words."""
    untrained: bool
    """Whether they are random."""


def make_fp32(recipe: Recipe, folder: Path, *, random_weights: int | None = None) -> Fp32Network:
    """Write the FP32 graphs of a recipe.

    Args:
        recipe: What to export.
        folder: Where the files go; it exists.
        random_weights: Seed of random weights in place of the recipe's source, to try graphs without a checkpoint.

    Raises:
        CheckpointError: The checkpoint is missing, or of another network.
        EngineError: A published file is missing, uses operations ONNX Runtime does not have, or computes something
            else than the reference.
        BackendError: SAM2 is asked for and its package is not installed.
        OutputError: A file cannot be written.
    """
    source = recipe.source
    if random_weights is not None:
        torch.manual_seed(random_weights)
        return _exported(recipe, None, folder, f"random weights, seed {random_weights}")
    if source.checkpoint is not None:
        return _exported(recipe, source.checkpoint, folder, source.checkpoint.name)
    if source.bundle is not None:
        bundle = NetworkBundle.load(source.bundle)
        lacking = sorted(recipe.graphs.keys() - bundle.networks.keys())
        if lacking:
            remedy = "train and export them first, or leave the recipe out"
            raise EngineError(mismatch(f"bundle {bundle.name}", sorted(bundle.networks), lacking, remedy))
        files = {name: bundle.networks[name].path for name in recipe.graphs}
        origin = f"bundle {bundle.name}"
    else:
        assert source.onnx is not None  # the recipe has exactly one source
        files, origin = dict(source.onnx), "published ONNX files"
    return Fp32Network(
        graphs={name: take_published(path, folder / f"{name}.onnx") for name, path in files.items()},
        origin=origin,
        untrained=False,
    )


def _exported(recipe: Recipe, checkpoint: Path | None, folder: Path, origin: str) -> Fp32Network:
    write = _EXPORTERS.get((recipe.tier, recipe.network))
    if write is None:
        remedy = "use the networks of the full tier"
        raise ConfigError(
            mismatch("recipe", f"{recipe.network} of tier {recipe.tier}", "a network of that tier", remedy)
        )
    parity = write(recipe, checkpoint, folder)
    if parity.keys() != recipe.graphs.keys():
        remedy = "list these graphs in the recipe"
        raise ConfigError(mismatch("recipe: graphs", sorted(recipe.graphs), sorted(parity), remedy))
    return Fp32Network(
        graphs={
            name: Fp32Graph(path=folder / f"{name}.onnx", parity=parity[name], reference="torch") for name in parity
        },
        origin=origin,
        untrained=checkpoint is None,
    )


def load_checkpoint(recipe: Recipe, checkpoint: Path) -> None:
    """Load a checkpoint as its export would, and nothing else.

    Raises:
        CheckpointError: It is missing, or of another network.
        BackendError: SAM2 is asked for and its package is not installed.
    """
    _LOADERS[recipe.tier, recipe.network](recipe, checkpoint)


def _refine(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_refine(NanoRefineNet().eval() if checkpoint is None else load_nano_refine(checkpoint), folder)


def _score(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = NanoScoreNet().eval() if checkpoint is None else load_nano_score(checkpoint)
    return export_score(net.features, net.attention, folder)


def _som(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_nano_som(NanoSom().eval() if checkpoint is None else load_nano_som(checkpoint), folder)


def _tom(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_nano_tom(NanoTom().eval() if checkpoint is None else load_nano_tom(checkpoint), folder)


def _full_refine(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = RefineNet().eval() if checkpoint is None else load_official(RefineNet(), checkpoint)
    return export_refine(net, folder, size_px=FULL_PX)


def _full_score(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = ScoreNet().eval() if checkpoint is None else load_official(ScoreNet(), checkpoint)
    return export_score(net.features, net.attention, folder, size_px=FULL_PX)


def _full_som(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    config = SomConfig(context=recipe.context)
    net = Som(config).eval() if checkpoint is None else load_som(checkpoint)
    if recipe.context not in (None, net.config.context):
        got, expected = f"one of length {net.config.context}", f"length {recipe.context} of the recipe"
        remedy = "write the length of the checkpoint's context into the recipe, or leave it out"
        raise ConfigError(mismatch("language context", got, expected, remedy))
    return export_som(net, folder, with_context=recipe.context is not None)


def _full_tom(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_tom(Tom().eval() if checkpoint is None else load_tom(checkpoint), folder)


def _full_similarity(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = Dinov2(VIT_S14).eval() if checkpoint is None else load_dinov2(checkpoint, VIT_S14)
    return export_similarity(net, folder)


def _full_sam2(recipe: Recipe, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    variant = recipe.variant or "2.1-tiny"
    net: nn.Module = build_sam2(variant) if checkpoint is None else load_sam2(checkpoint, variant)
    return export_sam2(net, folder)


_EXPORTERS: dict[tuple[str, str], Callable[[Recipe, Path | None, Path], dict[str, float]]] = {
    ("nano", "refine"): _refine,
    ("nano", "score"): _score,
    ("nano", "som"): _som,
    ("nano", "tom"): _tom,
    ("full", "refine"): _full_refine,
    ("full", "score"): _full_score,
    ("full", "som"): _full_som,
    ("full", "tom"): _full_tom,
    ("full", "similarity"): _full_similarity,
    ("full", "sam2"): _full_sam2,
}


_LOADERS: dict[tuple[str, str], Callable[[Recipe, Path], object]] = {
    ("nano", "refine"): lambda recipe, path: load_nano_refine(path),
    ("nano", "score"): lambda recipe, path: load_nano_score(path),
    ("nano", "som"): lambda recipe, path: load_nano_som(path),
    ("nano", "tom"): lambda recipe, path: load_nano_tom(path),
    ("full", "refine"): lambda recipe, path: load_official(RefineNet(), path),
    ("full", "score"): lambda recipe, path: load_official(ScoreNet(), path),
    ("full", "som"): lambda recipe, path: load_som(path),
    ("full", "tom"): lambda recipe, path: load_tom(path),
    ("full", "similarity"): lambda recipe, path: load_dinov2(path, VIT_S14),
    ("full", "sam2"): lambda recipe, path: load_sam2(path, recipe.variant or "2.1-tiny"),
}
