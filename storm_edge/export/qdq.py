"""Explicit quantisation: a graph with Q/DQ around chosen layers, by `onnxruntime.quantization`.

Two files are written of the same layers, one for each runtime:

=============  =================================================  ===================================================
precision      activations                                        the rest
=============  =================================================  ===================================================
``int8``       unsigned, any zero: ONNX Runtime fuses the ReLU    FP32; runs on a CPU
``int8-fp16``  signed, zero at zero: all that TensorRT allows     FP16, cast afterwards (`fp16`)
=============  =================================================  ===================================================

Weights are signed and per channel in both. Which layers they are is chosen by `int8_layers`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from storm_edge.export.recipe import Int8Plan

Tensors = dict[str, NDArray[Any]]

_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Feeds rows, a few at a time."""

    def __init__(self, rows: Tensors, *, chunk: int | None) -> None:
        self._parts = iter(_calls(rows, chunk))

    def get_next(self) -> Tensors | None:
        return next(self._parts, None)


class QdqWriter:
    """Quantises chosen layers of one graph; activation ranges are read once and kept in a file.

    Args:
        fp32: The graph.
        rows: Calibration rows of its inputs.
        plan: Operations that may be quantised, and how ranges are read.
        folder: Where ranges are kept.
        chunk: Rows per call; None for a graph of fixed sizes, whose every row is a whole call.
    """

    def __init__(self, fp32: Path, rows: Tensors, plan: Int8Plan, folder: Path, chunk: int | None) -> None:
        self._fp32, self._rows, self._plan, self._chunk = fp32, rows, plan, chunk
        self._folder = folder

    def write(self, path: Path, layers: Sequence[str], *, symmetric: bool) -> None:
        """Write the graph with these layers in INT8.

        Args:
            path: The file.
            layers: Names of their nodes; with none the graph is copied.
            symmetric: Whether activations are signed with their zero at zero, as TensorRT wants them.
        """
        if not layers:
            onnx.save(onnx.load(str(self._fp32)), str(path))
            return
        # Ranges depend on whether they are made symmetric, so either kind has its own.
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
