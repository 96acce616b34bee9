"""The stand-in is TensorRT where it matters: its names are the real ones, and each calling rule is enforced."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.engines.backends.tensorrt.api import BUILDER_API, RUNTIME_API
from storm_edge.engines.backends.tensorrt.build import build_engine
from tests.engines import stand_in
from tests.engines.tensorrt import SM86, StandIn, doubled, missing_names, package

PUBLIC = {
    name: kind
    for name, kind in vars(stand_in).items()
    if inspect.isclass(kind) and kind.__module__ == stand_in.__name__ and not name.startswith(("_", "Host"))
}
PROFILES = {"track": (1, 1, 4), "register": (1, 8, 16)}


def test_it_has_all_that_we_call() -> None:
    assert missing_names(stand_in, RUNTIME_API) == []
    assert missing_names(stand_in, BUILDER_API) == []


@pytest.mark.parametrize("flavour", ["tensorrt_lean", "tensorrt_rtx"])
def test_it_has_nothing_that_tensorrt_does_not(flavour: str) -> None:
    """Names and arguments; what only a builder has is looked up in the package that has one."""
    real = package(flavour).module
    needed = {name.partition(".")[0] for name in RUNTIME_API} if flavour == "tensorrt_lean" else PUBLIC.keys()
    checked = 0
    for name, kind in PUBLIC.items():
        theirs = getattr(real, name, None)
        if theirs is None:
            assert name not in needed, name
            continue
        for attribute, value in vars(kind).items():
            if attribute.startswith("_"):
                continue
            assert hasattr(theirs, attribute), f"{name}.{attribute}"
            checked += 1
            if isinstance(value, types.FunctionType):
                said = getattr(theirs, attribute).__doc__ or ""
                for argument in list(inspect.signature(value).parameters)[1:]:
                    assert f"{argument}:" in said or not said, f"{name}.{attribute}({argument})"
    assert checked > 25


@pytest.fixture
def context(standing_in: StandIn, tmp_path: Path) -> Any:
    """Of ``y = 2 x`` with two profiles, the first chosen; its stream is known as ``context.stream``."""
    plan = build_engine(standing_in.api, doubled(tmp_path / "d.onnx"), profiles=PROFILES, target=SM86).data
    engine = stand_in.Runtime(standing_in.api.logger()).deserialize_cuda_engine(plan)
    assert engine is not None
    made = engine.create_execution_context()
    made.stream = standing_in.gpu.handle()  # type: ignore[union-attr]
    return made


def test_who_keeps_the_rules_gets_an_answer(context: Any) -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((2, 3), dtype=np.float32)
    assert context.set_optimization_profile_async(0, context.stream)
    assert context.set_tensor_address("x", x.ctypes.data)
    assert context.set_tensor_address("y", y.ctypes.data)
    assert context.set_input_shape("x", (2, 3))
    assert context.execute_async_v3(context.stream)
    np.testing.assert_array_equal(y, 2 * x)
    assert stand_in.broken == []


def _ready(context: Any, *, without: str = "") -> Any:
    context.arrays = {"x": np.zeros((4, 3), dtype=np.float32), "y": np.zeros((4, 3), dtype=np.float32)}
    for name, array in context.arrays.items():
        if name != without:
            context.set_tensor_address(name, array.ctypes.data)
    if without != "shape":
        context.set_input_shape("x", (2, 3))
    return context


def _second(context: Any) -> Any:
    return context._engine.create_execution_context()


@pytest.mark.parametrize(
    ("breach", "message"),
    [
        (lambda c: _ready(c, without="y").execute_async_v3(c.stream), "y: no address is set"),
        (lambda c: _ready(c, without="x").execute_async_v3(c.stream), "x: no address is set"),
        (lambda c: _ready(c, without="shape").execute_async_v3(c.stream), "x: no shape is set"),
        (lambda c: c.set_input_shape("x", (5, 3)), r"x: \(5, 3\) is outside profile 0"),
        (lambda c: c.set_input_shape("x", (2, 4)), r"x: \(2, 4\) is outside"),
        (lambda c: c.set_input_shape("x", (2,)), "is outside"),
        (lambda c: c.set_input_shape("y", (2, 3)), "y is no input"),
        (lambda c: c.set_tensor_address("z", 1), "z is no tensor"),
        (lambda c: c.set_tensor_address("x", 0), "x: address 0"),
        (lambda c: c.set_optimization_profile_async(2, c.stream), "profile 2 is none of 2"),
        (lambda c: _second(c).set_optimization_profile_async(0, c.stream), "profile 0 is used by another"),
        (lambda c: _second(c).set_input_shape("x", (2, 3)), "before a profile is chosen"),
        (lambda c: _second(c).execute_async_v3(c.stream), "launch before a profile is chosen"),
        (lambda c: _ready(c).execute_async_v3(7), "stream 7: invalid resource handle"),
        (lambda c: c.set_optimization_profile_async(0, 7), "stream 7: invalid resource handle"),
    ],
)
def test_a_broken_rule_is_answered_with_false(context: Any, breach: Callable[[Any], bool], message: str) -> None:
    assert breach(context) is False
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(stand_in.broken[0])
    assert context._engine._logger.errors == stand_in.broken


def test_nothing_runs_after_an_error(context: Any) -> None:
    stand_in.faults.append("CUDA error 700: an illegal memory access was encountered")
    assert _ready(context).execute_async_v3(context.stream) is False
    for call in (lambda: context.execute_async_v3(context.stream), lambda: context.set_input_shape("x", (1, 3))):
        stand_in.broken.clear()
        assert call() is False
        assert stand_in.broken == ["call after an error: CUDA error 700: an illegal memory access was encountered"]


def test_a_plan_loads_in_its_own_version_alone(
    standing_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = build_engine(standing_in.api, doubled(tmp_path / "d.onnx"), profiles=PROFILES, target=SM86).data
    logger = standing_in.api.logger()
    assert stand_in.Runtime(logger).deserialize_cuda_engine(b"no plan\n" + plan) is None
    assert logger.cause() == "Magic tag does not match"
    monkeypatch.setattr(stand_in, "__version__", "10.16.2")
    assert stand_in.Runtime(logger).deserialize_cuda_engine(plan) is None
    assert logger.cause().startswith("Version tag does not match")


def test_a_graph_that_varies_is_not_built_without_a_profile(standing_in: StandIn, tmp_path: Path) -> None:
    builder = stand_in.Builder(standing_in.api.logger())
    network = builder.create_network(standing_in.api.network_flags)
    parser = stand_in.OnnxParser(network, standing_in.api.logger())
    assert not parser.parse(b"no graph")
    assert parser.num_errors == 1
    assert parser.parse(doubled(tmp_path / "d.onnx").read_bytes())
    assert builder.build_serialized_network(network, builder.create_builder_config()) is None
    assert stand_in.broken == ["no profile for ['x']"]
