"""An object's arrays on a device: the bundle's numbers, uploaded once and only when asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.errors import BackendError
from storm_edge.objects.on_device import ObjectOnDevice, principal_tones
from tests.staged import Staged, Uploads


def test_nothing_is_uploaded_before_it_is_asked_for_and_then_once(staged: Staged, uploads: Uploads) -> None:
    bundle = replace(staged.bundle, mesh_lod=replace(staged.bundle.mesh_lod))
    item = ObjectOnDevice(bundle)
    assert uploads.all == []
    for _ in range(2):
        assert item.mesh_lod is not item.mesh
        assert item.viewpoints.point_count == bundle.viewpoints.contour_points.shape[1]
    assert uploads.of(bundle) == {"mesh": 1, "mesh_lod": 1, "viewpoints": 1}


def test_a_mesh_that_is_its_own_coarser_form_is_uploaded_once(staged: Staged, uploads: Uploads) -> None:
    item = ObjectOnDevice(replace(staged.bundle, mesh_lod=staged.bundle.mesh))
    assert item.mesh is item.mesh_lod
    assert len(uploads.all) == 1


def test_the_arrays_are_those_of_the_bundle(staged: Staged) -> None:
    views, there = staged.bundle.viewpoints, ObjectOnDevice(staged.bundle).viewpoints
    for name in ("directions", "contour_points", "contour_normals", "contour_distances"):
        np.testing.assert_array_equal(getattr(there, name).numpy(), getattr(views, name))
    for name in ("surface_points", "surface_normals"):
        np.testing.assert_array_equal(getattr(there, name).numpy(), getattr(views, name))
    assert there.point_count == views.contour_points.shape[1]


def test_tones_are_colours_along_the_axis_in_which_they_differ() -> None:
    rng = np.random.default_rng(0)
    axis = np.array([0.6, 0.0, -0.8])
    along = rng.uniform(-0.3, 0.3, size=(4, 50))
    found, tones = principal_tones((0.5 + along[..., None] * axis).astype(np.float32))
    assert abs(found @ axis) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(tones - tones.mean(), (found @ axis) * (along - along.mean()), atol=1e-6)


def test_a_device_that_is_not_here_is_refused(staged: Staged) -> None:
    with pytest.raises(BackendError, match="nowhere"):
        ObjectOnDevice(staged.bundle, "nowhere")
