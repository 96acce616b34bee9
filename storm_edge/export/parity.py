"""Whether a graph computes what its network does, told apart from how the network rounds.

Two right implementations in single precision differ by their rounding, which a deep network may blow up to more than
any fixed tolerance. So where a graph and its reference differ by more than `PARITY`, both are held against the same
network in double precision: the graph may be off by a few times what the reference itself is off there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from storm_edge.errors import EngineError, mismatch

PARITY = 1e-4
"""Difference from the reference, relative to the largest output, up to which nobody asks for the rounding."""
OWN_ROUNDING = 16.0
"""Beyond it: how many times the reference's own error in single precision a graph's error may be (ONNX Runtime's sum
of 4096 products that cancel was off by 8 times what torch's was) ..."""
MOST = 1e-2
"""... and the largest error of all; of a network that rounds worse no number is to be trusted."""

Arrays = Sequence[NDArray[Any]]


def difference(found: Arrays, wanted: Arrays) -> float:
    """Largest difference of answers, each relative to the largest value of its output, or to 1 if that is more."""
    worst = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        scale = max(float(np.abs(theirs).max(initial=0.0)), 1.0)
        apart = float(np.abs(np.asarray(ours, dtype=np.float64) - theirs).max(initial=0.0)) / scale
        worst = apart if apart > worst or apart != apart else worst  # NaN is the worst of all
    return worst


def checked_difference(
    path: Path, found: Arrays, single: Arrays, in_double: Callable[[], Arrays], *, reference: str
) -> float:
    """The difference of a graph's answers from those of its reference, or where that is much from the exact ones.

    Args:
        path: The file, for messages.
        found: Answers of the graph.
        single: Of the reference in single precision.
        in_double: Of the reference in double precision; only asked where it is needed.
        reference: What that is, for messages.

    Raises:
        EngineError: They differ by more than rounding explains.
    """
    apart = difference(found, single)
    if apart <= PARITY:
        return apart
    exact = in_double()
    error, own = difference(found, exact), difference(single, exact)
    allowed = min(max(PARITY, OWN_ROUNDING * own), MOST)
    if not error <= allowed:
        got = f"a difference of {error:.1e} from {reference} in double precision"
        expected = f"at most {allowed:.1e}, where {reference} in single precision is off by {own:.1e}"
        raise EngineError(mismatch(path, got, expected, "report this"))
    return error


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in double precision: inputs, constants, casts and outputs that were single."""
    double = onnx.ModelProto()
    double.CopyFrom(model)
    _widen(double.graph)
    return double


def _widen(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _widen(attribute.g)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
