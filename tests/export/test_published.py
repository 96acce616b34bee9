"""Files as others publish them: a batch that is declared free and is not, and what the reference cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from storm_edge.errors import EngineError
from storm_edge.export.published import take_published


def refiner(
    path: Path, inner: list[int], *, padding: int = 0, declared: tuple[int | str, ...] = ("n", 6, 8, 8)
) -> Path:
    """Means of the channels, reshaped inside; ``padding`` nodes in between make it large."""
    inputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, declared) for x in ("rendered", "observed")]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [declared[0], 3]) for x in ("trans", "rot")]
    nodes = [helper.make_node("Concat", ["rendered", "observed"], ["c"], axis=1)]
    last = "c"
    for index in range(padding):
        nodes.append(helper.make_node("Identity", [last], [f"i{index}"]))
        last = f"i{index}"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["trans"]),
        helper.make_node("Tanh", ["trans"], ["rot"]),
    ]
    constants = {"shape": np.array(inner), "w": np.full((12, 3), 0.1, np.float32)}
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("padding", [0, 420], ids=["small", "large"])
@pytest.mark.parametrize("held", [1, 2, 7, 252])
def test_a_batch_that_is_held_inside_is_named(
    tmp_path: Path, held: int, padding: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = refiner(tmp_path / "held.onnx", [held, 12], padding=padding)
    said = rf"only a batch of {held} though it declares a free one" if held > 2 else "though it declares a free one"
    with pytest.raises(EngineError, match=said):
        take_published(path, tmp_path / "taken.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_batch_that_is_free_and_one_that_is_declared_are_taken(tmp_path: Path) -> None:
    free = take_published(refiner(tmp_path / "free.onnx", [-1, 12]), tmp_path / "a.onnx")
    assert free.reference == "onnx.reference"
    assert free.parity is not None
    fixed = refiner(tmp_path / "fixed.onnx", [4, 12], declared=(4, 6, 8, 8))
    assert take_published(fixed, tmp_path / "b.onnx").parity is not None


def test_other_sizes_that_vary_are_refused(tmp_path: Path) -> None:
    path = refiner(tmp_path / "wide.onnx", [-1, 12], declared=("n", 6, "h", "w"))
    with pytest.raises(EngineError, match="sizes that are fixed but for the batch"):
        take_published(path, tmp_path / "a.onnx")
