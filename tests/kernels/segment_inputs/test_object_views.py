"""Views of a box against its geometry."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from storm_edge.errors import MeshError
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.viewsphere import golden_spiral
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.segment_inputs import contract
from storm_edge.kernels.segment_inputs.object_views import object_views

from ...tiny_scene import box_mesh


def test_views_show_the_object_in_full() -> None:
    mesh = box_mesh()
    diameter_m = float(np.linalg.norm([0.10, 0.14, 0.20]))
    views = object_views(MeshBuffers.from_mesh(mesh), diameter_m)
    assert views.channels.shape == (contract.VIEW_COUNT, contract.VIEW_CHANNELS, contract.VIEW_PX, contract.VIEW_PX)
    silhouette = views.channels[:, 7]
    border = np.concatenate([silhouette[:, 0], silhouette[:, -1], silhouette[:, :, 0], silhouette[:, :, -1]], axis=1)
    assert not border.any()
    assert silhouette.mean(axis=(1, 2)).min() > 0.1
    # The nearest point of a box is in front of its centre by no more than its half diagonal, one radius.
    assert views.channels[:, 6].min() > -1.05
    assert (views.channels[:, 6][silhouette > 0].mean()) < 0.0


def test_views_of_nothing_are_refused() -> None:
    far = make_mesh(np.array([[9.0, 9, 9], [9.001, 9, 9], [9, 9.001, 9]]), np.array([[0, 1, 2]]))
    with pytest.raises(MeshError, match="reference views"):
        object_views(MeshBuffers.from_mesh(far), 0.1)


def test_a_rod_thinner_than_a_pixel_is_seen() -> None:
    # Along z it passes between the two middle columns of every view.
    rod = trimesh.creation.box((0.0004, 0.0004, 0.16))
    views = object_views(MeshBuffers.from_mesh(make_mesh(rod.vertices, rod.faces)), 0.16)
    seen = views.channels[:, 7]
    rows = np.flatnonzero(seen.any(axis=(0, 2)))
    assert rows.max() - rows.min() + 1 == pytest.approx(0.95 * contract.VIEW_PX, abs=2.0)
    assert set(np.flatnonzero(seen.any(axis=(0, 1)))) <= {15, 16}
    assert np.abs(views.channels[:, 6]).max() < 1.05


def test_directions_of_the_views_are_spread_over_the_sphere() -> None:
    d = golden_spiral(contract.VIEW_COUNT)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1.0, atol=1e-12)
    apart = np.arccos(np.clip(d @ d.T - 2.0 * np.eye(len(d)), -1.0, 1.0))
    # Sixteen caps of equal area have a radius of 29 degrees; no gap and no crowd.
    assert np.rad2deg(apart.min(axis=1)).min() > 35.0
    assert np.abs(d.mean(axis=0)).max() < 0.05
