"""Building: TensorRT-RTX compiles with no GPU, so what it refuses is seen here; running is for machines with one."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bench.memory import resident_mib
from storm_edge.engines.backends.gpu import open_gpu
from storm_edge.engines.backends.tensorrt import build as module
from storm_edge.engines.backends.tensorrt.build import build_engine, build_memory_bytes
from storm_edge.engines.backends.tensorrt.engine import ShapeProfile, TensorRtEngine, profile_for
from storm_edge.engines.backends.tensorrt.target import resolve_target
from storm_edge.engines.cache import EngineCache
from storm_edge.errors import BackendError, EngineError
from tests.engines.tensorrt import SM86, doubled, exported, mixed_types, package

PROFILES = {"track": (1, 1, 4)}


def test_a_graph_becomes_an_engine_with_its_progress_shown(tmp_path: Path) -> None:
    shares: list[float] = []
    before_mib = resident_mib() or 0.0  # of the tests before it; the guess is what a build adds
    built = build_engine(
        package("tensorrt_rtx"),
        doubled(tmp_path / "doubled.onnx"),
        profiles=PROFILES,
        target=SM86,
        progress=lambda stage, share: shares.append(share),
    )
    assert len(built.data) > 1000
    assert built.peak_bytes - before_mib * 2**20 < built.estimate_bytes  # the guess is to be on the safe side
    assert shares
    assert max(shares) == 1.0


def test_a_build_that_is_interrupted_says_so(tmp_path: Path) -> None:
    """TensorRT prints what a callback raises and cancels: Ctrl-C used to end as a graph that was refused."""

    def interrupt(stage: str, share: float) -> None:
        raise KeyboardInterrupt

    path = doubled(tmp_path / "doubled.onnx")
    with pytest.raises(KeyboardInterrupt):
        build_engine(package("tensorrt_rtx"), path, profiles=PROFILES, target=SM86, progress=interrupt)


@pytest.mark.parametrize("where", ["available_bytes", "_config", "_profiles_of", "_reset_peak"])
def test_ctrl_c_ends_a_build_wherever_it_arrives(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised in one of TensorRT's callbacks it was printed, and the build went on."""
    function = getattr(module, where)

    def interrupted(*arguments: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return function(*arguments)

    monkeypatch.setattr(module, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_engine(package("tensorrt_rtx"), doubled(tmp_path / "d.onnx"), profiles=PROFILES, target=SM86)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_a_callback_of_the_builder_ends_it(tmp_path: Path) -> None:
    told: list[float] = []

    def interrupted(stage: str, share: float) -> None:
        told.append(share)
        signal.raise_signal(signal.SIGINT)

    path = doubled(tmp_path / "d.onnx")
    with pytest.raises(KeyboardInterrupt):
        build_engine(package("tensorrt_rtx"), path, profiles=PROFILES, target=SM86, progress=interrupted)
    assert told[0] < 1.0


def test_mixed_types_are_refused_by_name(tmp_path: Path) -> None:
    """The naive half-precision converter left such a Div; the type checker must find it here, not on the robot."""
    with pytest.raises(EngineError, match=r"mixed\.onnx: got .*expected a graph tensorrt_rtx"):
        build_engine(package("tensorrt_rtx"), mixed_types(tmp_path / "mixed.onnx"), profiles=PROFILES, target=SM86)


def test_a_graph_that_varies_needs_a_profile(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"sizes that vary in \['x'\]"):
        build_engine(package("tensorrt_rtx"), doubled(tmp_path / "d.onnx"), profiles={}, target=SM86)


def test_too_little_memory_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = doubled(tmp_path / "doubled.onnx")
    monkeypatch.setattr(module, "available_bytes", lambda: 100 * 2**20)
    with pytest.raises(BackendError, match=r"got 100 MiB of memory free, expected about \d+ MiB"):
        build_engine(package("tensorrt_rtx"), path, profiles=PROFILES, target=SM86)
    small = build_memory_bytes(path, {"a": (1, 1, 1)})
    assert build_memory_bytes(path, {"a": (1, 1, 1_000_000)}) > small + 10 * 2**20


def test_the_lean_runtime_builds_nothing(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="a runtime without builder"):
        build_engine(package("tensorrt_lean"), doubled(tmp_path / "d.onnx"), profiles=PROFILES, target=SM86)


def test_a_batch_takes_the_tightest_profile_or_is_refused() -> None:
    track, register = ShapeProfile(context=None, least=1, most=4), ShapeProfile(context=None, least=1, most=64)
    assert profile_for([register, track], 3, what="refine") is track
    assert profile_for([track, register], 42, what="refine") is register
    with pytest.raises(EngineError, match=r"refine: batch: got 65, expected 1 to 4 or 1 to 64; use smaller chunks"):
        profile_for([track, register], 65, what="refine")


@pytest.mark.trt
@pytest.mark.gpu
def test_an_engine_computes_what_its_graph_says(tmp_path: Path, cuda: str) -> None:
    api = package("tensorrt_rtx" if _has("tensorrt_rtx") else "tensorrt")
    graph = exported(doubled(tmp_path / "doubled.onnx"))
    cache = EngineCache(tmp_path / "engines", "tiny")
    (status,) = cache.build([graph], api, resolve_target(api, None))
    engine = TensorRtEngine(cache.engine_path(status.key), api=api, gpu=open_gpu(cuda))
    for count in (1, 4, 16):
        x = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
        np.testing.assert_allclose(engine.run({"x": x})["y"], 2.0 * x)
    with pytest.raises(EngineError, match=r"batch: got 17, expected 1 to 4 or 1 to 16"):
        engine.run({"x": np.zeros((17, 3), dtype=np.float32)})


def _has(flavour: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(flavour) is not None
