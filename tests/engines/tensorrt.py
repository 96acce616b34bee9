"""TensorRT packages where they are installed, and a network to build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from storm_edge.engines.exported import ExportedGraph
from storm_edge.engines.onnx_runtime import file_sha256
from storm_edge.engines.targets import Target
from storm_edge.engines.tensorrt_api import TensorRt, load_tensorrt
from storm_edge.errors import BackendError
from tests.engines import tiny

SM86 = Target(sm="sm86", gpu="any", system="any")


def package(flavour: str) -> TensorRt:
    """The package, or a visible skip."""
    try:
        return load_tensorrt(flavour)
    except BackendError as error:
        pytest.skip(f"{flavour} is not installed: {error}")


def doubled(path: Path, *, factor: float = 2.0) -> Path:
    """``y = factor * x`` for rows of three."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    return tiny.save(path, nodes, {"x": ["n", 3]}, {"y": ["n", 3]}, factor=np.array([factor], dtype=np.float32))


def mixed_types(path: Path) -> Path:
    """A division of a half by a single, as a careless converter leaves it; no strongly typed network has it."""
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Div", ["h", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", 1, ["n", 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT16, ["n", 3])],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    return path


def exported(path: Path, *, recipe: str = "a" * 64) -> ExportedGraph:
    """A graph as `storm-edge export` describes it."""
    return ExportedGraph(
        graph=path.stem,
        precision="fp16",
        path=path,
        sha256=file_sha256(path),
        recipe_sha256=recipe,
        calibration_sha256=None,
        profiles={"track": (1, 1, 4), "register": (1, 8, 16)},
        cosine=1.0,
    )
