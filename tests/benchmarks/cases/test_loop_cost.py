from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cases.loop_cost import count_uploads
from storm_edge.geometry.mesh import make_mesh
from storm_edge.kernels.mesh_buffers import MeshBuffers


def test_every_upload_of_a_mesh_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeshBuffers, "from_mesh", MeshBuffers.from_mesh)  # put back after the test
    triangle = make_mesh(np.eye(3), np.array([[0, 1, 2]]))
    uploads = count_uploads()
    for _ in range(2):
        assert len(MeshBuffers.from_mesh(triangle).vertices) == 3
    assert len(uploads) == 2
