"""FP32 graphs to strongly typed FP16 graphs with FP32 islands.

The conversion is ONNX Runtime's (`onnxruntime.transformers.float16`): it puts a cast on every edge between the two
types, so TensorRT's type checker has nothing to refuse. What stays in FP32 is decided here, from the recipe and the
shape of the graph rather than from node names, which change with every exporter. Inputs and outputs stay FP32: the
casts are in the graph, and buffers are the same for every precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from fnmatch import fnmatchcase

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from storm_edge.errors import EngineError, mismatch
from storm_edge.export.recipe import Fp16Plan

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operations that may have weights."""
_QDQ_OPSET = 19  # the first whose QuantizeLinear takes an FP16 scale, which keeps INT8 and FP16 layers together


def to_fp16(model: onnx.ModelProto, plan: Fp16Plan, *, name: str) -> onnx.ModelProto:
    """A copy in FP16 with the islands of ``plan``.

    Args:
        model: In FP32, with or without Q/DQ.
        plan: What stays in FP32.
        name: Of the graph, for messages.

    Raises:
        EngineError: The plan names a node that is not there.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    named_nodes(copied)
    if any(node.op_type == "QuantizeLinear" for node in copied.graph.node):
        copied = onnx.version_converter.convert_version(copied, _QDQ_OPSET)
        named_nodes(copied)
    islands = island_nodes(copied, plan, name=name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for each constant that rounds
        half: onnx.ModelProto = convert_float_to_float16(
            copied, keep_io_types=True, op_block_list=[], node_block_list=sorted(islands)
        )
    del half.graph.value_info[:]  # of the types before the conversion
    _join_islands(half)
    OnnxModel(half).topological_sort()  # casts come last otherwise
    onnx.checker.check_model(half)
    return half


def island_nodes(model: onnx.ModelProto, plan: Fp16Plan, *, name: str) -> set[str]:
    """Names of the nodes that stay in FP32.

    Raises:
        EngineError: The plan names a node that is not there.
    """
    nodes = list(model.graph.node)
    chosen = {node.name for node in nodes if node.op_type in plan.fp32_ops}
    if plan.fp32_tail:
        chosen |= {node.name for node in nodes} - _leading_to_weights(model, nodes)
    if plan.fp32_head:
        chosen |= {node.name for node in nodes} - _behind_weights(model, nodes)
    for pattern in plan.fp32_nodes:
        hits = matching(pattern, (node.name for node in nodes))
        if not hits:
            remedy = "correct fp32_nodes in the recipe; the names are in the FP32 graph"
            raise EngineError(mismatch(f"{name}: {pattern}", "no such node", "a node of the graph", remedy))
        chosen |= hits
    # Quantised layers keep their own types, whatever is around them.
    return chosen - {node.name for node in nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")}


def _join_islands(model: onnx.ModelProto) -> None:
    """Let FP32 nodes hand their values to each other as they are, in place.

    The converter casts what every FP32 node takes and gives, so between two of them a value is rounded to FP16 and
    back. RefineNet's 3x3 solve, a product of three small numbers, came out as zero that way.
    """
    graph = model.graph
    narrowed = {n.output[0]: n.input[0] for n in graph.node if _casts_to(n, onnx.TensorProto.FLOAT16)}
    widened = {n.output[0]: n.input[0] for n in graph.node if _casts_to(n, onnx.TensorProto.FLOAT)}
    straight = {wide: narrowed[narrow] for wide, narrow in widened.items() if narrow in narrowed}
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in straight:
                node.input[i] = straight[name]
    results = {value.name for value in graph.output}
    for node in graph.node:  # nor is a result rounded that an FP32 node gave
        if node.op_type == "Cast" and node.output[0] in results & straight.keys():
            node.op_type, node.input[0] = "Identity", straight[node.output[0]]
            del node.attribute[:]
    while True:
        used = results | {name for node in graph.node for name in node.input}
        kept = [node for node in graph.node if any(output in used for output in node.output)]
        if len(kept) == len(graph.node):
            return
        del graph.node[:]
        graph.node.extend(kept)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == kind for a in node.attribute)


def matching(pattern: str, names: Iterable[str]) -> set[str]:
    """The names that fit a pattern with ``*`` and ``?``."""
    return {name for name in names if fnmatchcase(name, pattern)}


def has_weights(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes with weights of their own: a constant, perhaps quantised, among their first two inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:  # in topological order, which the checker demands
        if node.op_type in ("Constant", "QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape") and all(
            i in constants for i in node.input[:1]
        ):
            constants.update(node.output)
    return {
        node.name
        for node in model.graph.node
        if node.op_type in WEIGHTED and any(i in constants for i in node.input[:2])
    }


def named_nodes(model: onnx.ModelProto) -> None:
    """Give every node without a name one, in place; names tell nodes apart in plans and reports."""
    taken = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


def _leading_to_weights(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> set[str]:
    """Nodes with weights and all that feeds them."""
    weighted = has_weights(model)
    wanted: set[str] = set()
    leading: set[str] = set()
    for node in reversed(nodes):
        if node.name in weighted or any(output in wanted for output in node.output):
            leading.add(node.name)
            wanted.update(node.input)
    return leading


def _behind_weights(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> set[str]:
    """Nodes with weights and all that they feed."""
    weighted = has_weights(model)
    reached: set[str] = set()
    behind: set[str] = set()
    for node in nodes:
        if node.name in weighted or any(i in reached for i in node.input):
            behind.add(node.name)
            reached.update(node.output)
    return behind
