"""What an exported file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx


def operations(path: Path) -> Counter[str]:
    """How often each operation occurs."""
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def shapes(path: Path) -> tuple[dict[str, list[int | str]], dict[str, list[int | str]]]:
    """Sizes of inputs and outputs by name, in order; a size that varies is a word."""
    graph = onnx.load(str(path)).graph
    inputs, outputs = (
        {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
        for values in (graph.input, graph.output)
    )
    return inputs, outputs


def assert_static(path: Path) -> None:
    """No arithmetic on shapes, no branches, and normalisations that a runtime can see."""
    found = operations(path)
    assert not found.keys() & {"Shape", "If", "Loop", "Resize", "ConstantOfShape", "Einsum", "ReduceVar", "ScatterND"}
    assert found["LayerNormalization"] > 0
    assert onnx.load(str(path)).opset_import[0].version >= 17
