"""INT8: layers are tried one by one, the worst go back first, and the report says why."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from storm_edge.engines.backends.tensorrt.build import build_engine
from storm_edge.export.compare import compare
from storm_edge.export.fp16 import to_fp16
from storm_edge.export.int8_layers import QuantisedGraph, quantise
from storm_edge.export.qdq import run_rows
from storm_edge.export.recipe import Fp16Plan, Int8Plan
from storm_edge.export.torch_to_onnx import export_module
from tests.engines.tensorrt import SM86, package


class Chain(nn.Module):
    """Three convolutions; of what the middle one reads, one channel is a thousand times the others, which INT8 rounds
    to zero although they count as much.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.out = nn.Linear(4, 2)
        self.register_buffer("spread", torch.tensor([1000.0, 1.0, 1.0, 1.0]).reshape(1, 4, 1, 1))
        self.middle.weight.data /= self.spread

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        y = torch.relu(self.middle(y * self.spread))
        return torch.as_tensor(self.out(self.last(y).mean((2, 3))))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("chain") / "chain.onnx"
    export_module(Chain(), path, inputs={"x": (4, 16, 16)}, outputs=["y"])
    return path


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).standard_normal((12 * 4, 16, 16))
    smooth = np.stack([cv2.GaussianBlur(x, (0, 0), 2.0) for x in noise])
    return {"x": (4.0 * smooth).reshape(12, 4, 16, 16).astype(np.float32)}


def by_place(result: QuantisedGraph) -> list[bool]:
    return [layer.int8 for layer in result.layers if layer.op == "Conv"]


def test_what_the_gate_allows_is_quantised(chain: Path, rows: dict[str, np.ndarray], tmp_path: Path) -> None:
    result = quantise(chain, Int8Plan(), rows, folder=tmp_path, gate=lambda cpu, gpu: None)
    assert by_place(result) == [True, True, True]
    assert result.attempts == 1
    (linear,) = (layer for layer in result.layers if layer.op != "Conv")
    assert not linear.int8
    assert "not in int8.ops" in linear.reason
    first, middle, last = (layer.error or 0.0 for layer in result.layers if layer.op == "Conv")
    assert middle > 3.0 * max(first, last)
    assert result.cpu.stat().st_size > 0


def test_the_worst_layer_goes_back_until_the_gate_passes(
    chain: Path, rows: dict[str, np.ndarray], tmp_path: Path
) -> None:
    reference = run_rows(chain, rows, 8)

    def gate(cpu: Path, gpu: Path) -> str | None:
        error = compare(reference, run_rows(cpu, rows, 8))["y"]
        return None if error.rms_error < 0.01 else f"y: {error.rms_error:.2f} off"

    result = quantise(chain, Int8Plan(), rows, folder=tmp_path, gate=gate)
    assert by_place(result) == [True, False, True]
    middle = [layer for layer in result.layers if layer.op == "Conv"][1]
    assert middle.reason.startswith("taken back: y: ")
    assert gate(result.cpu, result.gpu) is None


def test_everything_goes_back_if_it_must(chain: Path, rows: dict[str, np.ndarray], tmp_path: Path) -> None:
    result = quantise(chain, Int8Plan(), rows, folder=tmp_path, gate=lambda cpu, gpu: "never good enough")
    assert by_place(result) == [False, False, False]
    assert not any("Quantize" in node.op_type for node in onnx.load(str(result.cpu)).graph.node)
    one = quantise(chain, Int8Plan(sweep=False), rows, folder=tmp_path, gate=lambda cpu, gpu: "no")
    assert one.attempts == 2


def test_a_layer_the_recipe_keeps_is_kept(chain: Path, rows: dict[str, np.ndarray], tmp_path: Path) -> None:
    plan = Int8Plan(keep_nodes=("*conv2d_1",))
    result = quantise(chain, plan, rows, folder=tmp_path, gate=lambda cpu, gpu: None)
    assert by_place(result) == [True, False, True]
    assert [layer.reason for layer in result.layers][1] == "the recipe keeps it"


def test_the_graph_for_tensorrt_is_symmetric_and_compiles(
    chain: Path, rows: dict[str, np.ndarray], tmp_path: Path
) -> None:
    result = quantise(chain, Int8Plan(), rows, folder=tmp_path, gate=lambda cpu, gpu: None)
    half = to_fp16(onnx.load(str(result.gpu)), Fp16Plan(), name="chain")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in half.graph.initializer}
    quantisers = [node for node in half.graph.node if node.op_type == "QuantizeLinear"]
    assert quantisers
    for node in quantisers:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
        assert constants[node.input[1]].dtype == np.float16
    api = package("tensorrt_rtx")
    onnx.save(half, str(tmp_path / "half.onnx"))
    built = build_engine(api, tmp_path / "half.onnx", profiles={"all": (1, 2, 4)}, target=SM86)
    assert built.data


def test_quantising_twice_gives_the_same_bytes(chain: Path, rows: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Engines are found by the hash of their graph: an export that changes nothing must rebuild nothing."""
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        result = quantise(chain, Int8Plan(), rows, folder=tmp_path / name, gate=lambda cpu, gpu: None)
        made.append((result.cpu.read_bytes(), result.gpu.read_bytes()))
    assert made[0] == made[1]
