"""Turns after which an object looks nearly as before are found from its model alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.errors import ObjectBundleError
from storm_edge.geometry.mesh import make_mesh
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.near_symmetry import TURN_COUNT, NearSymmetries, near_symmetries
from storm_edge.synthetic.primitives import rounded
from tests.pipeline.side.sides import BODY_X_M, bundle_of, marked_box, mug

HALF = TURN_COUNT // 2


def test_a_mug_turns_about_the_axis_of_its_body_not_of_its_box() -> None:
    found = near_symmetries(mug())
    assert abs(found.directions[0, 2]) > 0.999
    np.testing.assert_allclose(found.points_m[0, :2], [BODY_X_M, 0.0], atol=0.002)
    assert found.surface[0].min() > 0.6, "the body stays where it is, whatever the turn"
    assert found.surface[0, 1:].max() < 0.95, "the handle does not"


def test_a_mark_is_all_that_a_half_turn_of_a_box_changes() -> None:
    found = near_symmetries(marked_box())
    axis = int(np.abs(found.directions[:, 2]).argmax())
    assert found.silhouette[axis, HALF] > 0.97
    assert found.surface[axis, HALF] > 0.97
    assert found.colour[axis, HALF] < 0.93
    assert found.surface[axis, HALF // 2] < 0.5, "a quarter of a turn moves the surface"


def test_a_near_sphere_keeps_everything() -> None:
    vertices, faces = rounded((0.1, 0.1, 0.1), 0.01, 2.0)
    found = near_symmetries(make_mesh(vertices, faces))
    assert found.colour.min() > 0.9


def test_a_flat_card_has_an_axis_too() -> None:
    corners = np.array([[-0.05, -0.03, 0], [0.05, -0.03, 0], [0.05, 0.03, 0], [-0.05, 0.03, 0]])
    card = make_mesh(corners, np.array([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]]))
    found = near_symmetries(card)
    assert len(found.directions) >= 1
    assert all(np.isfinite(array).all() for array in found.arrays().values())


def test_a_bundle_keeps_them_and_an_older_one_finds_them(tmp_path: Path) -> None:
    older = bundle_of(marked_box())
    older.save(tmp_path / "older")
    found = ObjectBundle.load(tmp_path / "older").near_symmetries
    replace(older, stored_near_symmetries=found).save(tmp_path / "newer")
    stored = ObjectBundle.load(tmp_path / "newer").stored_near_symmetries
    assert stored is not None
    for name, array in stored.arrays().items():
        np.testing.assert_array_equal(array, found.arrays()[name])


def test_arrays_that_do_not_fit_are_refused() -> None:
    arrays = near_symmetries(marked_box()).arrays()
    with pytest.raises(ObjectBundleError, match="points_m"):
        NearSymmetries.from_arrays(arrays | {"points_m": np.zeros((9, 3))}, what="arrays.npz")
