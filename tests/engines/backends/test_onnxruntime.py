"""Binding, launching and refusing on tiny networks with answers known by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import warp as wp

from storm_edge.engines.backends import gpu
from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import BackendError, EngineError
from tests.engines import stand_in, tiny

SIZE_PX = 16


@pytest.fixture
def engine(tmp_path: Path) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(tiny.refine(tmp_path / "refine.onnx", size_px=SIZE_PX), name="refine")


def _buffers(rng: np.random.Generator, capacity: int) -> dict[str, np.ndarray]:
    shape = (capacity, 6, SIZE_PX, SIZE_PX)
    return {
        "rendered": rng.standard_normal(shape, dtype=np.float32),
        "observed": rng.standard_normal(shape, dtype=np.float32),
        "trans": np.full((capacity, 3), np.nan, dtype=np.float32),
        "rot": np.full((capacity, 3), np.nan, dtype=np.float32),
    }


def _expected(buffers: dict[str, np.ndarray]) -> np.ndarray:
    return (buffers["observed"] - buffers["rendered"]).mean((2, 3))[:, 3:]


def test_the_spec_says_what_the_file_says(engine: OnnxRuntimeEngine) -> None:
    assert [t.name for t in engine.spec.inputs] == ["rendered", "observed"]
    assert engine.spec.tensor("rendered").shape == (None, 6, SIZE_PX, SIZE_PX)
    assert engine.spec.tensor("rot").shape == (None, 3)
    assert len(engine.spec.sha256) == 64


def test_launch_reads_and_writes_the_bound_memory_and_only_the_rows_asked_for(
    engine: OnnxRuntimeEngine, rng: np.random.Generator
) -> None:
    buffers = _buffers(rng, 5)
    engine.bind(buffers)
    for count in (3, 1, 5, 3):
        buffers["observed"][:] = rng.standard_normal(buffers["observed"].shape, dtype=np.float32)
        buffers["trans"][:] = np.nan
        engine.launch(count)
        np.testing.assert_allclose(buffers["trans"][:count], _expected(buffers)[:count], atol=1e-6)
        assert np.isnan(buffers["trans"][count:]).all()


def test_warp_arrays_are_bound_in_place(engine: OnnxRuntimeEngine, rng: np.random.Generator) -> None:
    arrays = _buffers(rng, 2)
    buffers = {k: wp.array(v, dtype=wp.float32, device="cpu") for k, v in arrays.items()}
    engine.bind(buffers)
    engine.launch()
    np.testing.assert_allclose(buffers["trans"].numpy(), _expected(arrays), atol=1e-6)


def test_run_gives_new_arrays(engine: OnnxRuntimeEngine, rng: np.random.Generator) -> None:
    arrays = _buffers(rng, 4)
    out = engine.run({"rendered": arrays["rendered"], "observed": arrays["observed"]})
    np.testing.assert_allclose(out["trans"], _expected(arrays), atol=1e-6)
    assert np.isnan(arrays["trans"]).all()


def _without(name: str, b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: v for k, v in b.items() if k != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: _without("rot", b), r"buffers of refine: .*expected \['observed', 'rendered', 'rot', 'trans'\]"),
        (
            lambda b: b | {"trans": b["trans"].astype(np.float64)},
            r"refine.trans: got float64 \(2, 3\), expected float32",
        ),
        (
            lambda b: b | {"observed": b["observed"][:, :, :8]},
            r"refine.observed: .*expected float32 \(N, 6, 16, 16\)",
        ),
        (lambda b: b | {"observed": b["observed"].swapaxes(2, 3)}, r"refine.observed: got strides .*C-contiguous"),
        (lambda b: b | {"rot": b["rot"][:1]}, r"buffers of refine: got first sizes \[1, 2\]"),
        (lambda b: b | {"rot": [0.0]}, r"refine.rot: got list, expected a NumPy or Warp array"),
    ],
)
def test_unfit_buffers_are_refused_by_name(change, message: str, engine: OnnxRuntimeEngine, rng) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EngineError, match=message):
        engine.bind(change(_buffers(rng, 2)))


def test_launch_needs_buffers_and_a_count_in_range(engine: OnnxRuntimeEngine, rng: np.random.Generator) -> None:
    with pytest.raises(EngineError, match="launch of refine: got 0, expected bound buffers"):
        engine.launch()
    engine.bind(_buffers(rng, 2))
    for count in (0, 3):
        with pytest.raises(EngineError, match=f"got {count}, expected 1 to 2"):
            engine.launch(count)


def test_files_that_are_no_network_are_refused_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not protobuf")
    for path in (broken, tmp_path / "absent.onnx"):
        with pytest.raises(EngineError, match=path.name) as caught:
            OnnxRuntimeEngine(path, name="refine")
        assert "\n" not in str(caught.value)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="ONNX Runtime has CUDA here")
def test_cuda_that_is_not_there_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tiny.refine(tmp_path / "refine.onnx", size_px=SIZE_PX)
    with pytest.raises(BackendError, match="CUDAExecutionProvider"):
        OnnxRuntimeEngine(path, name="refine", options=EngineOptions(device="cuda"))
    with pytest.raises(BackendError, match="got tpu"):
        OnnxRuntimeEngine(path, name="refine", options=EngineOptions(device="tpu"))


def test_on_cuda_a_session_computes_on_our_stream_and_on_no_other(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ONNX Runtime is told, on a machine without CUDA: a session of the CPU passes for one."""
    told: list[Any] = []
    real = ort.InferenceSession

    class OnCuda:
        def __init__(self, path: str, options: Any, providers: list[tuple[str, dict[str, str]]]) -> None:
            told.extend(providers)
            self._inner = real(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    host = stand_in.HostGpu()
    monkeypatch.setattr(gpu, "open_gpu", lambda name: host)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", OnCuda)
    path = tiny.refine(tmp_path / "refine.onnx", size_px=SIZE_PX)
    engine = OnnxRuntimeEngine(path, name="refine", options=EngineOptions(device="cuda:1"))
    expected = {"device_id": "1", "user_compute_stream": str(host.current.cuda_stream), "use_tf32": "0"}
    assert told == [("CUDAExecutionProvider", expected)]

    buffers = _buffers(rng, 2)
    engine.bind(buffers)
    engine.launch()  # buffers in CPU memory: it waits, so the answer is there
    np.testing.assert_allclose(buffers["trans"], _expected(buffers), atol=1e-6)
    other = stand_in.HostStream()
    with pytest.raises(EngineError, match="launch of refine: got another stream, expected the one it was opened for"):
        engine.launch(stream=other)
    OnnxRuntimeEngine(path, name="refine", options=EngineOptions(device="cuda", stream=other)).bind(buffers)
    assert told[-1][1]["user_compute_stream"] == str(other.cuda_stream)
    other.cuda_stream = 0
    with pytest.raises(BackendError, match="got the null stream"):
        OnnxRuntimeEngine(path, name="refine", options=EngineOptions(device="cuda", stream=other))


@pytest.mark.gpu
def test_a_cuda_launch_enqueues_on_its_stream_and_answers_as_the_cpu(
    tmp_path: Path, rng: np.random.Generator, cuda: str
) -> None:
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("ONNX Runtime has no CUDA here")
    path = tiny.refine(tmp_path / "refine.onnx", size_px=SIZE_PX)
    stream = wp.Stream(cuda)
    engine = OnnxRuntimeEngine(path, name="refine", options=EngineOptions(device=cuda, stream=stream))
    arrays = _buffers(rng, 5)
    with wp.ScopedStream(stream):
        buffers = {k: wp.array(v, dtype=wp.float32, device=cuda) for k, v in arrays.items()}
        engine.bind(buffers)
        for count in (1, 5):
            engine.launch(count)
    with pytest.raises(EngineError, match="another stream"):
        engine.launch()
    wp.synchronize_stream(stream)
    np.testing.assert_allclose(buffers["trans"].numpy(), _expected(arrays), atol=1e-5)
    found = engine.run({name: arrays[name] for name in ("rendered", "observed")})
    np.testing.assert_allclose(found["trans"], _expected(arrays), atol=1e-5)


def test_nothing_is_left_in_the_home_folder(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 keeps a device identifier and a database for usage data there, unless it is told not to."""
    code = "from storm_edge.engines.bundle import NetworkBundle; NetworkBundle.load('nano').open('refine')"
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=home, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "warp" not in path.parts] == []
