"""Opening a network says so in one line of the log, and no launch says anything."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from storm_edge.choices import Backend
from storm_edge.engines.backend import NetworkFile, open_network, require_backend
from storm_edge.engines.contract import EngineOptions
from storm_edge.engines.manifest import file_sha256
from tests.engines.tensorrt import doubled


@pytest.mark.parametrize("backend", [Backend.ONNXRUNTIME, Backend.TORCH])
def test_one_line_when_a_network_is_opened_and_none_in_the_loop(
    backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    require_backend(backend, "cpu")
    path = doubled(tmp_path / "net.onnx")
    file = NetworkFile(path=path, sha256=file_sha256(path), channels_last=False, names={})
    with caplog.at_level(logging.DEBUG, logger="storm_edge"):
        engine = open_network(file, "net", backend=backend, options=EngineOptions(threads=1))
        x, y = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
        engine.bind({"x": x, "y": y})
        for _ in range(3):
            engine.launch()
    np.testing.assert_array_equal(y, 2.0 * x)
    (line,) = caplog.records
    assert (line.levelno, line.name) == (logging.INFO, "storm_edge.engines.backend")
    assert line.getMessage() == f"opened net ({file.sha256[:12]}) with {backend.value} on cpu"
