"""What rounding explains and what it does not: a network that rounds badly is kept, a wrong graph is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from storm_edge.errors import EngineError
from storm_edge.export import torch_to_onnx
from storm_edge.export.parity import MOST, PARITY, checked_difference, difference, in_double
from tests.engines import tiny

PATH = Path("graph.onnx")


def answers(*values: float) -> list[np.ndarray]:
    return [np.array(values)]


def never() -> list[np.ndarray]:
    raise AssertionError("what agrees is not computed twice")


def test_what_agrees_is_not_asked_in_double() -> None:
    assert checked_difference(PATH, answers(2.0), answers(2.0001), never, reference="torch") <= PARITY


def test_an_error_like_the_references_own_is_rounding() -> None:
    """Off by 3e-4 from a reference that itself is off by 2e-4 in the other direction."""
    error = checked_difference(PATH, answers(1.0003), answers(0.9998), lambda: answers(1.0), reference="torch")
    assert error == pytest.approx(3e-4)


@pytest.mark.parametrize(
    ("found", "single"),
    [(1.0003, 1.000001), (1.02, 0.98), (np.nan, 1.0)],
    ids=["exact", "beyond all", "NaN"],
)
def test_more_than_that_is_refused(found: float, single: float) -> None:
    with pytest.raises(EngineError, match=r"graph\.onnx.* from torch in double precision, expected at most"):
        checked_difference(PATH, answers(found), answers(single), lambda: answers(1.0), reference="torch")
    assert MOST < 0.02


def test_differences_are_relative_to_the_largest_value_of_each_output() -> None:
    assert difference([np.array([101.0]), np.array([0.5])], [np.array([100.0]), np.array([0.4])]) == pytest.approx(
        0.1
    )
    assert np.isnan(difference(answers(np.nan), answers(1.0)))


def test_an_export_is_held_against_torch_in_double(tmp_path: Path) -> None:
    """Of a network that rounds badly, sums in another order: 4096 products that cancel."""
    weights = 2e2 * torch.randn(4096, 1, generator=torch.Generator().manual_seed(0))

    class Cancelling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ weights.to(x) - (x.flip(1).double() @ weights.flip(0).double()).to(x) + x[:, :1]

    path = tiny.save(
        tmp_path / "net.onnx",
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("MatMul", ["x", "minus"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Slice", ["x", "zero", "one", "one"], ["first"]),
            helper.make_node("Add", ["c", "first"], ["y"]),
        ],
        {"x": ["n", 4096]},
        {"y": ["n", 1]},
        w=weights.numpy(),
        minus=-weights.numpy(),
        zero=np.array([0]),
        one=np.array([1]),
    )
    arguments = (Cancelling(), path, path, {"x": (4096,)}, torch.Generator().manual_seed(0))
    worst = torch_to_onnx._difference(*arguments, batches=[(2,)])
    assert worst <= MOST
    wrong = tiny.score_attention(tmp_path / "wrong.onnx")
    with pytest.raises(EngineError, match="from torch in double precision"):
        torch_to_onnx._difference(
            nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), path, wrong, {"features": (6,)},
            torch.Generator().manual_seed(0), batches=[(2,)],
        )  # fmt: skip


def test_a_graph_in_double_computes_the_same_more_exactly() -> None:
    third = np.full((1,), 1.0 / 3.0, dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["n"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32([7.0]))),
        helper.make_node("Mul", ["f", "third"], ["t"]),
        helper.make_node("Mul", ["t", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("n", onnx.TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(third, "third")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    (y,) = ReferenceEvaluator(in_double(model)).run(None, {"n": np.array([5])})
    assert y.dtype == np.float64
    assert y[0] == 5.0 * 7.0 * np.float64(third[0])
    assert model.graph.initializer[0].data_type == onnx.TensorProto.FLOAT
