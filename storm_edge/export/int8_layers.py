"""Which layers are computed in INT8: each is tried alone, then the worst go back until the gate passes.

The recipe says which layers are candidates and what the gate is; `qdq` writes the graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from storm_edge.export.compare import compare, worst_rms
from storm_edge.export.fp16 import has_weights, matching
from storm_edge.export.qdq import QdqWriter, Tensors, run_rows
from storm_edge.export.recipe import Int8Plan

_SWEEP_ROWS = 8  # calibration rows that a layer is tried on
_PARTS_TAKEN_BACK = 8  # of what is left, one of so many parts goes back each time the gate fails


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """What became of one layer."""

    layer: str
    """Name of the node."""
    op: str
    """Its operation."""
    int8: bool
    """Whether it is quantised."""
    error: float | None
    """RMS error of the outputs when this layer alone is quantised; None if it was not tried."""
    reason: str
    """Why."""


@dataclass(frozen=True, kw_only=True)
class QuantisedGraph:
    """One graph quantised for each runtime, and how its layers were chosen."""

    cpu: Path
    """For ONNX Runtime: Q/DQ in FP32."""
    gpu: Path
    """For TensorRT: Q/DQ with symmetric activations, the rest still in FP32."""
    layers: tuple[LayerChoice, ...]
    """Every layer with weights."""
    attempts: int
    """How often the gate was asked."""

    @property
    def count(self) -> int:
        """Layers that are quantised."""
        return sum(layer.int8 for layer in self.layers)


def quantise(
    fp32: Path,
    plan: Int8Plan,
    rows: Tensors,
    *,
    folder: Path,
    gate: Callable[[Path, Path], str | None],
    chunk: int | None = 8,
    progress: Callable[[float], None] | None = None,
) -> QuantisedGraph:
    """Quantise what the gate allows.

    Args:
        fp32: The graph.
        plan: Candidates, and whether each is tried alone first.
        rows: Calibration rows of its inputs.
        folder: Where the files go.
        gate: Called with the file for ONNX Runtime and that for TensorRT; says what fails, or None.
        chunk: Rows per call; None for a graph of fixed sizes, whose every row is a whole call.
        progress: Called with the finished share of the sweep.
    """
    layers, candidates = _candidates(fp32, plan)
    cpu, gpu = folder / f"{fp32.stem}.cpu.onnx", folder / f"{fp32.stem}.gpu.onnx"
    writer = QdqWriter(fp32, rows, plan, folder, chunk)
    if plan.sweep:
        few = {name: array[:_SWEEP_ROWS] for name, array in rows.items()}
        reference = run_rows(fp32, few, chunk)
        for done, name in enumerate(candidates):
            writer.write(cpu, [name], symmetric=False)
            error = worst_rms(compare(reference, run_rows(cpu, few, chunk)))
            layers[name] = replace(layers[name], error=error)
            if progress is not None:
                progress((done + 1) / len(candidates))
    left = sorted(candidates, key=lambda name: layers[name].error or 0.0)
    attempts = 0
    while True:
        writer.write(cpu, left, symmetric=False)
        writer.write(gpu, left, symmetric=True)
        attempts += 1
        failure = gate(cpu, gpu) if left else None
        if failure is None:
            break
        count = max(math.ceil(len(left) / _PARTS_TAKEN_BACK), 1) if plan.sweep else len(left)
        for name in left[-count:]:
            layers[name] = replace(layers[name], int8=False, reason=f"taken back: {failure}")
        left = left[:-count]
    for name in left:
        layers[name] = replace(layers[name], reason="the gate passes with it")
    return QuantisedGraph(cpu=cpu, gpu=gpu, layers=tuple(layers.values()), attempts=attempts)


def _candidates(fp32: Path, plan: Int8Plan) -> tuple[dict[str, LayerChoice], list[str]]:
    """Every layer with weights by its name, and the names of those that may become INT8."""
    model = onnx.load(str(fp32))
    weighted = has_weights(model)
    nodes = [node for node in model.graph.node if node.name in weighted]
    excluded = {name for pattern in plan.keep_nodes for name in matching(pattern, weighted)}
    candidates = [n.name for n in nodes if n.op_type in plan.ops and n.name not in excluded]
    layers = {
        n.name: LayerChoice(
            layer=n.name,
            op=n.op_type,
            int8=n.name in candidates,
            error=None,
            reason="the recipe keeps it" if n.name in excluded else f"no candidate: {n.op_type} is not in int8.ops",
        )
        for n in nodes
    }
    return layers, candidates
