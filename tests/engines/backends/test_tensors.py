"""What every backend refuses: names no file has, arrays that do not fit, launches of more than is bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from storm_edge.engines.backends.tensors import (
    check_count,
    check_names,
    checked_buffers,
    checked_inputs,
    engine_spec,
    file_tensor,
)
from storm_edge.errors import EngineError

F32 = np.dtype(np.float32)
X = file_tensor("net.onnx", "input1", F32, [None, 3], {"input1": "x"})
SCORE = file_tensor("net.onnx", "score", F32, [1, None], {})
SPEC = engine_spec("net", [X], [SCORE], "0" * 64)


def arrays(**changes: Any) -> dict[str, Any]:
    return {"x": np.zeros((4, 3), np.float32), "score": np.zeros(4, np.float32), **changes}


def test_tensors_come_out_under_our_names_and_a_row_of_scores_is_a_vector() -> None:
    assert [(t.name, t.shape) for t in (*SPEC.inputs, *SPEC.outputs)] == [("x", (None, 3)), ("score", (None,))]
    assert (X.sized(5), SCORE.sized(5)) == ([5, 3], [1, 5])


def test_only_the_first_size_may_vary() -> None:
    with pytest.raises(EngineError, match=r"net\.onnx: y: got \[3, None, 4\]"):
        file_tensor("net.onnx", "y", F32, [3, None, 4], {})


def test_names_that_the_file_does_not_have_are_refused() -> None:
    check_names("net.onnx", ["input1"], {"input1": "x"})
    with pytest.raises(EngineError, match=r"got tensors \['input1'\], expected \['input2'\]"):
        check_names("net.onnx", ["input1"], {"input2": "x"})


def test_buffers_that_fit_give_their_addresses_and_their_rows() -> None:
    given = arrays()
    views, capacity = checked_buffers(SPEC, given)
    assert capacity == 4
    assert {name: view.address for name, view in views.items()} == {n: a.ctypes.data for n, a in given.items()}
    assert not any(view.on_cuda for view in views.values())


def test_a_graph_of_fixed_sizes_holds_one_call() -> None:
    fixed = engine_spec("net", [file_tensor("n", "x", F32, [2, 3], {})], [], "0" * 64)
    assert checked_buffers(fixed, {"x": np.zeros((2, 3), np.float32)})[1] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": np.zeros(1, np.float32)}, "buffers of net: got .*'more'.*bind one array per tensor"),
        ({"x": np.zeros((4, 2), np.float32)}, r"net\.x: got float32 \(4, 2\), expected float32 \(N, 3\)"),
        ({"x": np.zeros((4, 3))}, r"net\.x: got float64"),
        ({"x": np.zeros((3, 4), np.float32).T}, r"net\.x: got strides"),
        ({"x": [[0.0] * 3] * 4}, r"net\.x: got list, expected a NumPy or Warp array"),
        ({"x": np.zeros((5, 3), np.float32)}, r"buffers of net: got first sizes \[4, 5\]"),
    ],
)
def test_buffers_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        checked_buffers(SPEC, arrays(**changes))
    assert "\n" not in str(caught.value)


def test_inputs_are_checked_and_made_contiguous() -> None:
    x = np.zeros((3, 4), np.float32).T
    assert checked_inputs(SPEC, {"x": x})["x"].flags.c_contiguous
    with pytest.raises(EngineError, match=r"inputs of net: got .*give every input"):
        checked_inputs(SPEC, {"y": x})
    with pytest.raises(EngineError, match=r"net\.x: got float64"):
        checked_inputs(SPEC, {"x": x.astype(np.float64)})


def test_a_launch_stays_within_what_is_bound() -> None:
    check_count(SPEC, 4, 4)
    for count in (0, 5):
        with pytest.raises(EngineError, match=f"launch of net: got {count}, expected 1 to 4"):
            check_count(SPEC, count, 4)
    with pytest.raises(EngineError, match="expected bound buffers"):
        check_count(SPEC, 0, 0)
