"""Sparse viewpoints of surfaces whose contour and normals are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from storm_edge.errors import ObjectBundleError
from storm_edge.geometry.viewsphere import icosphere
from storm_edge.objects.viewpoints import SparseViewpoints, build_viewpoints
from tests.kernels.shapes import sphere
from tests.kernels.tracking import handled_box, views

RADIUS_M = 0.05
HORIZON_TOLERANCE = 7e-4  # tangent of the angle off the axis; a pixel of the renders is 8.7e-4
POSITION_TOLERANCE_M = 4e-4  # the renders have 0.43 mm per pixel; worst seen 2.5e-4 m


@pytest.fixture(scope="module")
def ball() -> SparseViewpoints:
    return build_viewpoints(sphere(RADIUS_M, subdivisions=4), subdivisions=1, point_count=80)


def test_every_direction_has_all_its_points(ball):
    np.testing.assert_allclose(ball.directions, icosphere(1), atol=1e-6)
    for name, array in ball.arrays().items():
        assert array.dtype == np.float32
        assert array.shape[: 1 if name == "directions" else 2] == ((42,) if name == "directions" else (42, 80))
        assert np.isfinite(array).all()


def test_a_ball_shows_its_horizon(ball):
    """The camera is at 5 diameters: its rays to the horizon have ``sin = r / 10 r``, normals point off the axis."""
    height = np.einsum("vpi,vi->vp", ball.contour_points, ball.directions)
    off_axis = ball.contour_points - height[..., None] * ball.directions[:, None]
    distance = np.linalg.norm(off_axis, axis=2)
    tangent = distance / (10.0 * RADIUS_M - height)
    np.testing.assert_allclose(tangent, np.tan(np.arcsin(0.1)), atol=HORIZON_TOLERANCE)
    radial = off_axis / distance[..., None]
    assert np.sum(radial * ball.contour_normals, axis=2).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(ball.contour_normals, axis=2), 1.0, atol=1e-5)
    assert np.abs(np.einsum("vpi,vi->vp", ball.contour_normals, ball.directions)).max() < 1e-5


def test_contour_points_are_spread_all_around(ball):
    """A lopsided choice would move the mean off the axis."""
    mean = ball.contour_points.mean(axis=1)
    height = np.sum(mean * ball.directions, axis=1, keepdims=True)
    assert np.linalg.norm(mean - height * ball.directions, axis=1).max() < 0.05 * RADIUS_M


def test_a_ball_is_foreground_across_and_background_outside(ball):
    """Inwards the line is followed up to 0.4 diameters, all of it foreground; outwards all of it background."""
    assert ball.contour_distances.min() > 0.35 * 2.0 * RADIUS_M


def test_surface_points_lie_on_the_surface_with_its_normals(ball):
    r = np.linalg.norm(ball.surface_points, axis=2)
    np.testing.assert_allclose(r, RADIUS_M, atol=POSITION_TOLERANCE_M)
    assert np.sum(ball.surface_normals * ball.surface_points / r[..., None], axis=2).min() > 0.98
    assert np.einsum("vpi,vi->vp", ball.surface_normals, ball.directions).min() > 0.1  # seen by the camera


def test_colours_are_those_of_the_model_without_light(ball):
    """`sphere` paints every point with the absolute value of its unit normal."""
    expected = np.abs(ball.surface_points) / np.linalg.norm(ball.surface_points, axis=2, keepdims=True)
    # Where a component changes its sign within a triangle, interpolation cuts the corner of its absolute value.
    np.testing.assert_allclose(ball.surface_colours, expected, atol=0.05)


def test_a_narrow_part_has_short_foreground():
    """Lines across the small box (16 mm wide) of `handled_box`, seen from above, end where it ends."""
    model = views()
    tip = model.contour_points[..., 0] > handled_box().vertices[:, 0].max() - 0.006
    across = np.abs(model.contour_normals[..., 1]) > 0.95
    above = (np.abs(model.directions[:, 2]) > 0.99)[:, None]
    found = tip & across & above
    assert found.sum() >= 8
    np.testing.assert_allclose(model.contour_distances[found, 0], 0.016, atol=0.001)


def test_arrays_round_trip(ball):
    again = SparseViewpoints.from_arrays(ball.arrays() | {"something_else": np.zeros(3)})
    for name, array in ball.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), array)


def test_a_missing_or_misshapen_array_is_named(ball):
    arrays = ball.arrays()
    with pytest.raises(ObjectBundleError, match="surface_colours"):
        SparseViewpoints.from_arrays({k: v for k, v in arrays.items() if k != "surface_colours"})
    with pytest.raises(ObjectBundleError, match=r"contour_distances.*\(42, 80, 3\)"):
        SparseViewpoints.from_arrays(arrays | {"contour_distances": arrays["contour_points"]})


def test_the_same_mesh_gives_the_same_views(ball):
    again = build_viewpoints(sphere(RADIUS_M, subdivisions=4), subdivisions=1, point_count=80)
    for field in dataclasses.fields(SparseViewpoints):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(ball, field.name))
