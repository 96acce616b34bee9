"""The PyTorch backend answers as ONNX Runtime does, on every graph that we ship and every operator that it knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warp as wp
from onnx import helper

from storm_edge.choices import Backend
from storm_edge.engines.backend import require_backend
from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine
from storm_edge.engines.backends.torch import TorchEngine
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineSpec
from storm_edge.errors import BackendError, EngineError
from tests.engines import tiny

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'storm-edge[export]'")

SHIPPED = NetworkBundle.load("nano")


def _inputs(spec: EngineSpec, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        t.name: rng.standard_normal([count if n is None else n for n in t.shape], dtype=np.float32)
        for t in spec.inputs
    }


@pytest.mark.parametrize("graph", sorted(SHIPPED.networks))
def test_every_nano_graph_answers_as_on_onnx_runtime(graph: str, rng: np.random.Generator) -> None:
    wanted = SHIPPED.open(graph)
    engine = NetworkBundle.load("nano", backend=Backend.TORCH).open(graph)
    assert engine.spec == wanted.spec
    for count in (1, 3):
        inputs = _inputs(wanted.spec, count, rng)
        expected = wanted.run(inputs)
        found = engine.run(inputs)
        buffers = inputs | {name: np.full_like(array, np.nan) for name, array in expected.items()}
        engine.bind(buffers)
        engine.launch(count)
        for name, array in expected.items():
            worst = 1e-4 * max(float(np.abs(array).max()), 1e-3)  # seen on a CPU: 4e-6 of the largest
            np.testing.assert_allclose(found[name], array, atol=worst, rtol=0.0, err_msg=name)
            np.testing.assert_array_equal(buffers[name], found[name])


def _node(kind: str, inputs: list[str], **attributes: Any) -> Any:
    outputs = ["y", "z"] if kind == "Split" else ["y"]
    return helper.make_node(kind, inputs, outputs, **attributes)


@pytest.mark.parametrize(
    ("node", "sizes", "constants"),
    [
        (_node("Conv", ["x", "w"], group=2, dilations=[2, 1], pads=[1, 0, 1, 0]), [4, 9, 8], {"w": (6, 2, 3, 3)}),
        (_node("ConvTranspose", ["x", "w"], strides=[2, 2]), [4, 5, 6], {"w": (4, 3, 2, 2)}),
        (_node("MaxPool", ["x"], kernel_shape=[2, 2], strides=[2, 2]), [2, 6, 8], {}),
        (_node("AveragePool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), [2, 6, 8], {}),
        (_node("Pad", ["x", "p"], mode="constant"), [3, 4, 5], {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0])}),
        (_node("Split", ["x"], axis=2, num_outputs=2), [3, 5, 4], {}),
        (_node("Split", ["x", "s"], axis=3), [3, 5, 4], {"s": np.array([1, 3])}),
        (_node("Expand", ["x", "s"]), [1, 5, 1], {"s": np.array([3, 1, 4])}),
        (_node("Gather", ["x", "i"], axis=2), [3, 5, 2], {"i": np.array([[0, -1], [3, 1]])}),
        (_node("Slice", ["x", "b", "e", "a", "s"]), [6, 7, 3], {
            "b": np.array([-4, 1]), "e": np.array([9223372036854775807, -1]), "a": np.array([1, -2]),
            "s": np.array([2, 1]),
        }),
        (_node("Reshape", ["x", "s"]), [6, 2], {"s": np.array([0, 3, -1])}),
        (_node("Resize", ["x", "", "s"], mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric"), [2, 3, 5], {"s": np.float32([1, 1, 2, 1.5])}),
        (_node("LayerNormalization", ["x", "w", "c"], axis=-2), [3, 4, 6], {"w": (4, 6), "c": (4, 6)}),
        (_node("ReduceMean", ["x"], keepdims=1), [3, 4], {}),
        (_node("Clip", ["x", "", "h"]), [7], {"h": np.float32(0.3)}),
        (_node("Transpose", ["x"], perm=[0, 3, 1, 2]), [2, 3, 4], {}),
        (_node("Squeeze", ["x"], ), [1, 3], {}),
        *((_node(kind, ["x"]), [3, 4], {}) for kind in ("Erf", "Sin", "Cos", "Softplus", "Sigmoid", "Identity")),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else "",
)  # fmt: skip
def test_an_operator_is_what_onnx_says(
    node: Any, sizes: list[int], constants: dict[str, Any], tmp_path: Path, rng: np.random.Generator
) -> None:
    filled = {
        name: value if isinstance(value, np.ndarray | np.generic) else rng.standard_normal(value, dtype=np.float32)
        for name, value in constants.items()
    }
    model_path = _save(tmp_path / "one.onnx", node, [2, *sizes], filled)
    import onnxruntime as ort
    import torch

    from storm_edge.networks.onnx_graph import OnnxGraph

    x = rng.standard_normal([2, *sizes], dtype=np.float32)
    expected = ort.InferenceSession(str(model_path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    found = OnnxGraph(model_path, "cpu")({"x": torch.from_numpy(x)})
    for name, array in zip(node.output, expected, strict=True):
        np.testing.assert_allclose(found[name].numpy(), array, atol=1e-5, err_msg=name)


def _save(path: Path, node: Any, shape: list[int], constants: dict[str, np.ndarray]) -> Path:
    import onnx
    from onnx import TensorProto, numpy_helper

    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
    return path


def test_warp_arrays_are_bound_in_place(tmp_path: Path, rng: np.random.Generator) -> None:
    engine = TorchEngine(tiny.refine(tmp_path / "refine.onnx", size_px=16), name="refine")
    inputs = _inputs(engine.spec, 4, rng)
    buffers = {name: wp.array(array, dtype=wp.float32, device="cpu") for name, array in inputs.items()}
    buffers |= {name: wp.zeros((4, 3), dtype=wp.float32, device="cpu") for name in ("trans", "rot")}
    engine.bind(buffers)
    engine.launch(3)
    expected = (inputs["observed"] - inputs["rendered"]).mean((2, 3))[:, 3:]
    np.testing.assert_allclose(buffers["trans"].numpy()[:3], expected[:3], atol=1e-6)
    assert not buffers["trans"].numpy()[3].any()
    for count in (0, 5):
        with pytest.raises(EngineError, match=f"launch of refine: got {count}, expected 1 to 4"):
            engine.launch(count)


def test_half_precision_and_vector_scores(tmp_path: Path, rng: np.random.Generator) -> None:
    """A score ``(1, N)`` comes out as ``(N,)``, and a graph in FP16 keeps its types."""
    from storm_edge.export.fp16 import to_fp16
    from storm_edge.export.recipe import Fp16Plan

    path = tiny.score_joint(tmp_path / "score.onnx", size_px=16)
    engine = TorchEngine(path, name="score")
    inputs = _inputs(engine.spec, 3, rng)
    assert engine.spec.outputs[0].shape == (None,)
    expected = OnnxRuntimeEngine(path, name="score").run(inputs)
    np.testing.assert_allclose(engine.run(inputs)["output1"], expected["output1"], atol=1e-5)
    import onnx

    onnx.save(to_fp16(onnx.load(str(path)), Fp16Plan(), name="score"), str(tmp_path / "half.onnx"))
    halved = TorchEngine(tmp_path / "half.onnx", name="score").run(inputs)
    np.testing.assert_allclose(halved["output1"], expected["output1"], atol=5e-3)


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("HardSwish", {}, "one.onnx: got operators HardSwish, expected of Abs, .*; run it on ONNX Runtime"),
        ("MaxPool", {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}, "one.onnx: MaxPool: got auto_pad SAME_UPPER"),
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 0]}, "one.onnx: MaxPool: got pads"),
    ],
)
def test_what_it_does_not_know_is_refused_when_it_is_opened(
    kind: str, attributes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = _save(tmp_path / "one.onnx", _node(kind, ["x"], **attributes), [2, 3, 4, 5], {})
    with pytest.raises(EngineError, match=message) as caught:
        TorchEngine(path, name="one")
    assert "\n" not in str(caught.value)
    (tmp_path / "broken.onnx").write_bytes(b"not protobuf")
    with pytest.raises(EngineError, match=r"broken\.onnx: got"):
        TorchEngine(tmp_path / "broken.onnx", name="one")


def test_a_machine_without_pytorch_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="torch: got device cuda and no CUDA"):
            require_backend(Backend.TORCH, "cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match=r"torch: got .*storm-edge\[export\]"):
        require_backend(Backend.TORCH, "cpu")


@pytest.mark.gpu
def test_a_cuda_launch_goes_to_its_stream(tmp_path: Path, rng: np.random.Generator, cuda: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA here")
    engine = TorchEngine(tiny.refine(tmp_path / "refine.onnx", size_px=16), name="refine", device=cuda)
    inputs = _inputs(engine.spec, 4, rng)
    stream = wp.Stream(cuda)
    with wp.ScopedStream(stream):
        buffers = {name: wp.array(array, dtype=wp.float32, device=cuda) for name, array in inputs.items()}
        buffers |= {name: wp.zeros((4, 3), dtype=wp.float32, device=cuda) for name in ("trans", "rot")}
        engine.bind(buffers)
        engine.launch(4)
    wp.synchronize_stream(stream)
    expected = (inputs["observed"] - inputs["rendered"]).mean((2, 3))[:, 3:]
    np.testing.assert_allclose(buffers["trans"].numpy(), expected, atol=1e-5)
