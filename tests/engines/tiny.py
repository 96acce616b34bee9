"""Tiny ONNX networks whose right answer is known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = list[int | str | None]


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    **constants: np.ndarray,
) -> Path:
    def values(tensors: dict[str, Shape]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in tensors.items()]

    initial = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def refine(
    path: Path,
    *,
    size_px: int,
    names: tuple[str, str, str, str] = ("rendered", "observed", "trans", "rot"),
    channels_last: bool = False,
    batch: int | str = "n",
) -> Path:
    """``trans`` is the mean of ``observed - rendered`` in x, y, z; ``rot`` the mean of their sum."""
    a, b, trans, rot = names
    shape: Shape = [batch, size_px, size_px, 6] if channels_last else [batch, 6, size_px, size_px]
    pixels, channel = ([1, 2], 1) if channels_last else ([2, 3], 1)
    nodes = [
        helper.make_node("Sub", [b, a], ["difference"]),
        helper.make_node("Add", [b, a], ["sum"]),
        helper.make_node("ReduceMean", ["difference"], ["d"], axes=pixels, keepdims=0),
        helper.make_node("ReduceMean", ["sum"], ["s"], axes=pixels, keepdims=0),
        helper.make_node("Slice", ["d", "first", "last", "axis"], [trans]),
        helper.make_node("Slice", ["s", "first", "last", "axis"], [rot]),
    ]
    constants = {"first": np.array([3]), "last": np.array([6]), "axis": np.array([channel])}
    return save(path, nodes, {a: shape, b: shape}, {trans: [batch, 3], rot: [batch, 3]}, **constants)


def score_features(path: Path, *, size_px: int) -> Path:
    """``features`` is the mean of ``rendered - observed`` per channel."""
    shape: Shape = ["n", 6, size_px, size_px]
    nodes = [
        helper.make_node("Sub", ["rendered", "observed"], ["difference"]),
        helper.make_node("ReduceMean", ["difference"], ["features"], axes=[2, 3], keepdims=0),
    ]
    return save(path, nodes, {"rendered": shape, "observed": shape}, {"features": ["n", 6]})


def score_attention(path: Path) -> Path:
    """``score`` is the sum of the features less its mean over the set, so it depends on the true set."""
    nodes = [
        helper.make_node("ReduceSum", ["features", "axis"], ["total"], keepdims=0),
        helper.make_node("ReduceMean", ["total"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["total", "mean"], ["score"]),
    ]
    return save(path, nodes, {"features": ["n", 6]}, {"score": ["n"]}, axis=np.array([1]))


def score_joint(path: Path, *, size_px: int) -> Path:
    """Both of the above in one channels-last file with a ``(1, N)`` output, as NVIDIA publishes it."""
    shape: Shape = ["n", size_px, size_px, 6]
    nodes = [
        helper.make_node("Sub", ["input1", "input2"], ["difference"]),
        helper.make_node("ReduceMean", ["difference"], ["features"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceSum", ["features", "axis"], ["total"], keepdims=0),
        helper.make_node("ReduceMean", ["total"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["total", "mean"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "front"], ["output1"]),
    ]
    constants = {"axis": np.array([1]), "front": np.array([0])}
    return save(path, nodes, {"input1": shape, "input2": shape}, {"output1": [1, "n"]}, **constants)
