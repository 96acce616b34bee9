"""The FP32 graphs a recipe starts from: exported from a checkpoint, or taken as somebody published them.

Either way each file is run against something that did not make it: a checkpoint's against torch, a published file
against ONNX's own reference implementation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import CheckpointError, ConfigError, EngineError, mismatch
from storm_edge.export import onnx as export
from storm_edge.export.nano_search import export_nano_som, export_nano_tom, load_nano_som, load_nano_tom
from storm_edge.export.recipe import Recipe
from storm_edge.export.sam2 import export_sam2
from storm_edge.export.som import export_som
from storm_edge.export.tom import export_tom
from storm_edge.networks.checkpoints import load_nano, read_checkpoint
from storm_edge.networks.foundationpose import SIZE_PX as FULL_PX
from storm_edge.networks.foundationpose import RefineNet, ScoreNet, load_official
from storm_edge.networks.nano import NanoRefineNet, NanoScoreNet
from storm_edge.networks.nano_som import NanoSom
from storm_edge.networks.nano_tom import NanoTom
from storm_edge.networks.sam2 import build_sam2, load_sam2
from storm_edge.networks.som import Som, load_som
from storm_edge.networks.tom import Tom, load_tom

_REFERENCE_NODES = 400
_REFERENCE_BYTES = 16e6


@dataclass(frozen=True, kw_only=True)
class Fp32Graph:
    """One graph before anything is reduced."""

    path: Path
    """The file."""
    parity: float | None
    """Largest difference of ONNX Runtime from the reference, relative to the largest output; None if none was run."""
    reference: str
    """What it was compared with, or why with nothing."""


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
        graphs={name: _taken(path, folder / f"{name}.onnx") for name, path in files.items()},
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
    written = write(checkpoint, folder)
    parity = {name.removesuffix(".onnx"): value for name, value in written.items()}
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


def _refine(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = NanoRefineNet().eval() if checkpoint is None else _load_nano(checkpoint, "refine")
    assert isinstance(net, NanoRefineNet)
    return {"refine": export.export_refine(net, folder / "refine.onnx")}


def _score(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = NanoScoreNet().eval() if checkpoint is None else _load_nano(checkpoint, "score")
    assert isinstance(net, NanoScoreNet)
    worst = export.export_score(net.features, net.attention, folder)
    return dict.fromkeys(("score_features", "score_attention"), worst)


def _load_nano(checkpoint: Path, network: str) -> NanoRefineNet | NanoScoreNet:
    content = read_checkpoint(checkpoint)
    if isinstance(content, dict) and content.get("network") != network:
        got = f"network {content.get('network')}"
        raise CheckpointError(mismatch(checkpoint, got, network, "give the checkpoint of this network"))
    return load_nano(checkpoint)


def _som(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_nano_som(NanoSom().eval() if checkpoint is None else load_nano_som(checkpoint), folder)


def _tom(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_nano_tom(NanoTom().eval() if checkpoint is None else load_nano_tom(checkpoint), folder)


def _full_refine(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = RefineNet().eval() if checkpoint is None else load_official(RefineNet(), checkpoint)
    return {"refine": export.export_refine(net, folder / "refine.onnx", size_px=FULL_PX)}


def _full_score(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net = ScoreNet().eval() if checkpoint is None else load_official(ScoreNet(), checkpoint)
    worst = export.export_score(net.features, net.attention, folder, size_px=FULL_PX)
    return dict.fromkeys(("score_features", "score_attention"), worst)


def _full_som(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_som(Som().eval() if checkpoint is None else load_som(checkpoint), folder)


def _full_tom(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    return export_tom(Tom().eval() if checkpoint is None else load_tom(checkpoint), folder)


def _full_sam2(checkpoint: Path | None, folder: Path) -> dict[str, float]:
    net: nn.Module = build_sam2("2.1-tiny") if checkpoint is None else load_sam2(checkpoint)
    return export_sam2(net, folder)


_EXPORTERS: dict[tuple[str, str], Callable[[Path | None, Path], dict[str, float]]] = {
    ("nano", "refine"): _refine,
    ("nano", "score"): _score,
    ("nano", "som"): _som,
    ("nano", "tom"): _tom,
    ("full", "refine"): _full_refine,
    ("full", "score"): _full_score,
    ("full", "som"): _full_som,
    ("full", "tom"): _full_tom,
    ("full", "sam2"): _full_sam2,
}


def _taken(path: Path, target: Path) -> Fp32Graph:
    """A published file, checked; what it keeps in other files is taken in."""
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
        if any(
            t.data_location == onnx.TensorProto.EXTERNAL
            for t in onnx.load(str(path), load_external_data=False).graph.initializer
        ):
            onnx.save(model, str(target))
        else:
            shutil.copyfile(path, target)  # the very bytes, so that a hash of the published file still fits
        session = ort.InferenceSession(str(target), _quiet(), providers=["CPUExecutionProvider"])
    except Exception as error:  # protobuf, onnx and ONNX Runtime raise many kinds, none with a public base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        expected = "an ONNX file with all its data and operations ONNX Runtime has"
        raise EngineError(
            mismatch(path, first, expected, "copy it again with its data files, or export it anew")
        ) from error
    if not is_small(model):
        return Fp32Graph(path=target, parity=None, reference="none: too large for ONNX's reference implementation")
    return Fp32Graph(path=target, parity=_reference_difference(path, model, session), reference="onnx.reference")


def is_small(model: onnx.ModelProto) -> bool:
    """Whether ONNX's reference implementation, which is plain NumPy, answers in seconds."""
    return len(model.graph.node) <= _REFERENCE_NODES and model.ByteSize() <= _REFERENCE_BYTES


def _reference_difference(path: Path, model: onnx.ModelProto, session: ort.InferenceSession) -> float:
    rng = np.random.default_rng(0)
    feed = {
        node.name: rng.random([n if isinstance(n, int) else 2 for n in node.shape], dtype=np.float32)
        for node in session.get_inputs()
    }
    worst = 0.0
    for theirs, ours in zip(ReferenceEvaluator(model).run(None, feed), session.run(None, feed), strict=True):
        scale = max(float(np.abs(theirs).max()), 1.0)
        worst = max(worst, float(np.abs(np.asarray(ours) - theirs).max()) / scale)
    if worst > export.PARITY:
        expected = f"at most {export.PARITY:g}"
        raise EngineError(mismatch(path, f"a difference of {worst:.1e} from onnx.reference", expected, "report this"))
    return worst


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options
