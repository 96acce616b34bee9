"""Meshes on the device: what arrives, and what is refused before a kernel would read past its arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.errors import BackendError, MeshError
from storm_edge.kernels.mesh_buffers import MeshBuffers
from tests.kernels.shapes import quad, sphere


def test_arrays_arrive_as_they_are():
    mesh = quad(0.1, textured=True)
    buffers = MeshBuffers.from_mesh(mesh, "cpu")
    assert (buffers.vertex_count, buffers.face_count, buffers.has_texture) == (4, 2, True)
    np.testing.assert_array_equal(buffers.vertices.numpy(), mesh.vertices)
    np.testing.assert_array_equal(buffers.faces.numpy(), mesh.faces)
    np.testing.assert_allclose(buffers.texture.numpy() * 255.0, mesh.texture, atol=1e-4)
    assert not MeshBuffers.from_mesh(sphere(0.05)).has_texture


def test_bad_meshes_are_refused_in_one_line():
    mesh = sphere(0.05)
    with pytest.raises(MeshError, match=r"0\.\.161"):
        MeshBuffers.from_mesh(replace(mesh, faces=np.array([[0, 1, 200]], dtype=np.int32)))
    with pytest.raises(MeshError, match="at least one triangle"):
        MeshBuffers.from_mesh(replace(mesh, faces=mesh.faces[:0]))
    with pytest.raises(BackendError):
        MeshBuffers.from_mesh(mesh, "cuda:99")
