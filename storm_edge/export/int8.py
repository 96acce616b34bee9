"""INT8 by explicit Q/DQ: which layers can bear it, found by trying each, and taken back until the gate passes.

Quantisation itself is `onnxruntime.quantization`. Two forms are written, of the same layers:

=============  =================================================  ===================================================
form           activations                                        the rest
=============  =================================================  ===================================================
``int8``       unsigned, any zero: ONNX Runtime fuses the ReLU    FP32; runs on a CPU
``int8-fp16``  signed, zero at zero: all that TensorRT allows     FP16, cast afterwards
=============  =================================================  ===================================================

Weights are signed and per channel in both.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine
from storm_edge.export.compare import compare, worst_rms
from storm_edge.export.half import has_weights, matching
from storm_edge.export.recipe import Int8Plan

Tensors = dict[str, NDArray[Any]]

_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
_SWEEP_ROWS = 8
_TAKEN_BACK = 8  # of what is left, this part goes back each time the gate fails, at least one layer


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
class Quantised:
    """The two forms and how they came about."""

    cpu: Path
    """Q/DQ in FP32."""
    gpu: Path
    """Q/DQ with symmetric activations, still in FP32."""
    layers: tuple[LayerChoice, ...]
    """Every layer with weights."""
    attempts: int
    """How often the gate was asked."""

    @property
    def count(self) -> int:
        """Layers that are quantised."""
        return sum(layer.int8 for layer in self.layers)


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Feeds rows, a few at a time."""

    def __init__(self, rows: Tensors, *, chunk: int | None) -> None:
        self._parts = iter(_calls(rows, chunk))

    def get_next(self) -> Tensors | None:
        return next(self._parts, None)


def quantise(
    fp32: Path,
    plan: Int8Plan,
    rows: Tensors,
    *,
    folder: Path,
    gate: Callable[[Path, Path], str | None],
    chunk: int | None = 8,
    sweep: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Quantised:
    """Quantise what the gate allows.

    Args:
        fp32: The graph.
        plan: Candidates.
        rows: Calibration rows of its inputs.
        folder: Where the files go.
        gate: Called with both forms; says what fails, or None.
        chunk: Rows per call; None for a graph of fixed sizes, whose every row is a whole call.
        sweep: Whether each layer is tried alone first; without, the whole graph goes back when the gate fails.
        progress: Called with the finished share of the sweep.
    """
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
    cpu, gpu = folder / f"{fp32.stem}.cpu.onnx", folder / f"{fp32.stem}.gpu.onnx"
    forms = _Forms(fp32, rows, plan, folder, chunk)
    if sweep:
        few = {name: array[:_SWEEP_ROWS] for name, array in rows.items()}
        reference = run_rows(fp32, few, chunk)
        for done, name in enumerate(candidates):
            forms.write(cpu, [name], symmetric=False)
            error = worst_rms(compare(reference, run_rows(cpu, few, chunk)))
            layers[name] = replace(layers[name], error=error)
            if progress is not None:
                progress((done + 1) / len(candidates))
    left = sorted(candidates, key=lambda name: layers[name].error or 0.0)
    attempts = 0
    while True:
        forms.write(cpu, left, symmetric=False)
        forms.write(gpu, left, symmetric=True)
        attempts += 1
        failure = gate(cpu, gpu) if left else None
        if failure is None:
            break
        count = max(math.ceil(len(left) / _TAKEN_BACK), 1) if sweep else len(left)
        for name in left[-count:]:
            layers[name] = replace(layers[name], int8=False, reason=f"taken back: {failure}")
        left = left[:-count]
    for name in left:
        layers[name] = replace(layers[name], reason="the gate passes with it")
    return Quantised(cpu=cpu, gpu=gpu, layers=tuple(layers.values()), attempts=attempts)


class _Forms:
    """Writes either form of a graph; activation ranges are read once and kept beside it."""

    def __init__(self, fp32: Path, rows: Tensors, plan: Int8Plan, folder: Path, chunk: int | None) -> None:
        self._fp32, self._rows, self._plan, self._chunk = fp32, rows, plan, chunk
        self._folder = folder

    def write(self, path: Path, layers: Sequence[str], *, symmetric: bool) -> None:
        if not layers:
            onnx.save(onnx.load(str(self._fp32)), str(path))
            return
        # Ranges depend on whether they are made symmetric, so each form keeps its own.
        ranges = self._folder / f"{self._fp32.stem}.{'symmetric' if symmetric else 'free'}.ranges.json"
        with _quiet():
            quantize_static(
                str(self._fp32),
                str(path),
                _Rows(self._rows, chunk=self._chunk),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(self._plan.ops),
                nodes_to_quantize=list(layers),
                per_channel=True,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=_METHODS[self._plan.ranges],
                calibration_cache_path=str(ranges),
                extra_options={
                    "ActivationSymmetric": symmetric,
                    "WeightSymmetric": True,
                    # TensorRT refuses INT32 biases behind a DequantizeLinear.
                    "QuantizeBias": not symmetric,
                    "MatMulConstBOnly": True,
                },
            )
        # ONNX Runtime leaves its name and version, which would make one graph two.
        model = onnx.load(str(path))
        model.producer_name, model.producer_version = "storm-edge", ""
        onnx.save(model, str(path))


def _calls(rows: Tensors, chunk: int | None) -> list[Tensors]:
    """Inputs call by call."""
    count = len(next(iter(rows.values())))
    if chunk is None:
        return [{name: array[i] for name, array in rows.items()} for i in range(count)]
    return [{name: array[at : at + chunk] for name, array in rows.items()} for at in range(0, count, chunk)]


def run_rows(path: Path, rows: Tensors, chunk: int | None) -> Tensors:
    """Outputs of a graph on rows, one after the other along the first axis."""
    engine = OnnxRuntimeEngine(path, name=path.stem)
    parts = [engine.run(call) for call in _calls(rows, chunk)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to preprocess, which the export already did."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
