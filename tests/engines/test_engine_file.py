"""A built engine on disk: whole, with the manifest it was built with, and for this TensorRT and this GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.engines.engine_file import check_fits, read_engine, write_engine
from storm_edge.errors import EngineError
from storm_edge.files import sha256

KEY = {"flavour": "tensorrt", "version": "10.3.0", "sm": "sm86", "gpu": "any"}


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    digest = sha256(json.dumps(KEY, sort_keys=True).encode())
    path = tmp_path / "engines" / f"refine-{digest[:12]}.engine"
    write_engine(path, b"plan", {"key": KEY, "build_seconds": 1.5})
    return path


def tensorrt(flavour: str = "tensorrt", version: str = "10.3.0") -> TensorRt:
    return TensorRt(flavour=flavour, module=type("Module", (), {"__version__": version}))


def test_what_is_written_is_read(engine: Path) -> None:
    data, manifest = read_engine(engine)
    assert data == b"plan"
    assert (manifest["key"], manifest["build_seconds"], manifest["engine_bytes"]) == (KEY, 1.5, 4)
    assert sorted(p.suffix for p in engine.parent.iterdir()) == [".engine", ".json"]


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        (".engine", b"pla", "got 3 bytes, expected 4"),
        (".engine", b"plam", "got sha256"),
        (".engine", None, "expected an engine with its manifest"),
        (".json", None, "expected an engine with its manifest"),
        (".json", b"{", "expected an engine with its manifest"),
        (".json", json.dumps({"key": {}, "engine_sha256": "0", "engine_bytes": 4}).encode(), "a manifest that says"),
    ],
)
def test_a_damaged_engine_is_refused(engine: Path, file: str, data: bytes | None, message: str) -> None:
    path = engine.with_suffix(file)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    with pytest.raises(EngineError, match=message) as caught:
        read_engine(engine)
    assert str(caught.value).endswith("build it again with storm-edge build")


@pytest.mark.parametrize(
    ("api", "here", "message"),
    [
        (tensorrt("tensorrt_rtx"), None, r"an engine of tensorrt 10\.3\.0, expected one of tensorrt_rtx 10\.3\.0"),
        (tensorrt(version="10.16.2"), None, r"expected one of tensorrt 10\.16\.2"),
        (
            tensorrt(),
            GpuTarget(sm="sm87", gpu="Orin", system="driver 13"),
            r"an engine for sm86 \(any\), expected one for sm87 \(Orin\)",
        ),
    ],
)
def test_an_engine_of_another_tensorrt_or_gpu_is_refused(api: TensorRt, here: Any, message: str) -> None:
    check_fits(Path("refine.engine"), KEY, tensorrt("tensorrt_lean"), None)
    check_fits(Path("refine.engine"), KEY, tensorrt(), GpuTarget(sm="sm86", gpu="RTX 3090", system="driver 13"))
    with pytest.raises(EngineError, match=message):
        check_fits(Path("refine.engine"), KEY, api, here)
