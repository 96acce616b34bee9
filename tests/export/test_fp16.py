"""FP16 with islands: what stays in FP32 stays whole, and the types agree everywhere."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import EngineError
from storm_edge.export.fp16 import has_weights, island_nodes, named_nodes, to_fp16
from storm_edge.export.recipe import Fp16Plan
from storm_edge.export.torch_to_onnx import export_module


class Solve(nn.Module):
    """A convolution, then a product of small numbers that FP16 takes for zero, then their quotient."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x * 2.0)).abs().mean((1, 2, 3)) + 0.5
        small = y * 1e-3
        return small * small * small / (small * small * small * 2.0)


@pytest.fixture(scope="module")
def solve(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("solve") / "solve.onnx"
    torch.manual_seed(0)
    export_module(Solve(), path, inputs={"x": (1, 8, 8)}, outputs=["y"])
    model = onnx.load(str(path))
    named_nodes(model)
    return model


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    """First output in the arithmetic of the graph; ONNX Runtime computes FP16 in FP32 on a CPU."""
    return np.asarray(ReferenceEvaluator(model).run(None, inputs)[0])


def test_a_tail_in_fp32_keeps_what_fp16_cannot_hold(solve: onnx.ModelProto, rng: np.random.Generator) -> None:
    """The converter alone rounds between two FP32 nodes: the small product came out as 0 / 0."""
    x = rng.random((2, 1, 8, 8), dtype=np.float32)
    half = to_fp16(solve, Fp16Plan(fp32_tail=True), name="solve")
    np.testing.assert_allclose(run(half, x=x), 0.5, rtol=1e-3)
    with np.errstate(invalid="ignore"):
        without = run(to_fp16(solve, Fp16Plan(), name="solve"), x=x)
    assert not np.allclose(without, 0.5, rtol=1e-3)
    kinds = {i.name: i.data_type for i in half.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds.values()  # the convolution's weights
    assert half.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_head_tail_and_operations_are_found_by_the_graph(solve: onnx.ModelProto) -> None:
    ops = {node.name: node.op_type for node in solve.graph.node}
    weighted = has_weights(solve)
    assert [ops[name] for name in weighted] == ["Conv"]
    head = island_nodes(solve, Fp16Plan(fp32_ops=(), fp32_head=True), name="solve")
    assert [ops[name] for name in head] == ["Mul"]
    tail = island_nodes(solve, Fp16Plan(fp32_ops=(), fp32_tail=True), name="solve")
    assert "LayerNormalization" in {ops[name] for name in tail}
    assert not tail & (head | weighted)
    assert {ops[n] for n in island_nodes(solve, Fp16Plan(), name="solve")} == {"LayerNormalization"}


def test_a_node_that_is_not_there_is_refused(solve: onnx.ModelProto) -> None:
    with pytest.raises(EngineError, match=r"solve: nothing_.*no such node"):
        to_fp16(solve, Fp16Plan(fp32_nodes=("nothing_*",)), name="solve")


def test_the_shipped_refine_keeps_its_fit(rng: np.random.Generator) -> None:
    """Largest difference from FP32 seen 6e-4 of the largest output."""
    model = onnx.load(str(NetworkBundle.load("nano").networks["refine"].path))
    half = to_fp16(model, Fp16Plan(fp32_head=True, fp32_tail=True), name="refine")
    pair = {k: rng.random((2, 6, 80, 80), dtype=np.float32) for k in ("rendered", "observed")}
    np.testing.assert_allclose(run(half, **pair), run(model, **pair), atol=2e-3)
