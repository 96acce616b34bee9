"""Graphs opened on ONNX Runtime, to be compared in their precisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storm_edge.choices import Precision
from storm_edge.engines.backends.channels_last import ChannelsLastEngine
from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.export.recipe import Recipe

REDUCED = (Precision.FP16, Precision.INT8, Precision.INT8_FP16)


def open_graphs(recipe: Recipe, files: Mapping[str, Path]) -> dict[str, Engine]:
    """All graphs of a recipe on ONNX Runtime."""
    return {graph: open_graph(recipe, graph, path) for graph, path in files.items()}


def open_graph(recipe: Recipe, graph: str, path: Path) -> Engine:
    """One graph, with our names and channels first.

    Q/DQ in FP16 is for TensorRT. ONNX Runtime would quantise the biases with the product of two FP16 scales, which
    underflows; node by node it computes what the file says.
    """
    as_written = path.parent.name == Precision.INT8_FP16.folder
    names = {theirs: ours for ours, theirs in recipe.source.tensors.get(graph, {}).items()}
    engine: Engine = OnnxRuntimeEngine(path, name=graph, names=names, options=EngineOptions(as_written=as_written))
    return ChannelsLastEngine(engine) if recipe.source.layout == "nhwc" else engine


def varies(engine: Engine) -> bool:
    """Whether an input has a size that may vary."""
    return any(None in tensor.shape for tensor in engine.spec.inputs)
