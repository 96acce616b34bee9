"""A real build as a process, ended by a signal; TensorRT-RTX builds without a GPU."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_edge.choices import Precision
from storm_edge.engines.exported_graphs import GraphExport, GraphFile, NetworkExport, write_network_export
from storm_edge.engines.manifest import PACKAGED, file_sha256, write_manifest
from tests.engines.tensorrt import package


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An export whose engine takes seconds to build."""
    package("tensorrt_rtx")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "refine.onnx").write_bytes((PACKAGED / "nano" / "refine.onnx").read_bytes())
    write_manifest(folder, name="b", size_px=80, preset="default", networks={"refine": "refine.onnx"})
    file = GraphFile(file="refine.onnx", sha256=file_sha256(folder / "refine.onnx"))
    graphs = {"refine": GraphExport(profiles={"track": (1, 1, 8)}, files={Precision.FP32: file})}
    write_network_export(folder, "refine", NetworkExport(recipe_sha256="0", calibration_sha256=None, graphs=graphs))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_build_ends_at_a_signal_and_leaves_nothing_half(bundle: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "engines"
    options = ("--backend", "tensorrt_rtx", "--target", "sm86", "--precision", "fp32", "--out", str(out))
    command = [sys.executable, "-m", "storm_edge", "build", str(bundle), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (out / "b" / ".lock").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    said, told = process.communicate(timeout=600)
    assert (process.returncode, said) == (128 + number, "")
    assert "Traceback" not in told
    assert [path.name for path in out.rglob("*") if path.is_file()] == [".lock"]


def test_a_users_report_is_refused_before_the_build(bundle: Path, tmp_path: Path) -> None:
    mine = tmp_path / "engines" / "b" / "engines.html"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    options = ("--backend", "tensorrt_rtx", "--target", "sm86", "--precision", "fp32", "--out", str(mine.parents[1]))
    command = [sys.executable, "-m", "storm_edge", "build", str(bundle), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert mine.read_text() == "mine"
    assert [path.name for path in mine.parent.iterdir()] == ["engines.html"]
