"""The reference views by geometry."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import ConvexHull

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.pipeline.segment.full_som_views import reference_views

MEAN = np.array((0.485, 0.456, 0.406))
DEVIATION = np.array((0.229, 0.224, 0.225))


def box(x_m: float, y_m: float, z_m: float) -> Mesh:
    """A box, red where z is positive and blue where it is negative."""
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    faces = ConvexHull(corners).simplices
    a, b, c = corners[faces].transpose(1, 0, 2)
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a) < 0
    faces[inward] = faces[inward][:, ::-1]
    colours = np.where(corners[:, 2:] > 0, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    return make_mesh(corners * (x_m, y_m, z_m), faces, colours=colours)


def test_views_show_the_object_upright_on_grey() -> None:
    views = reference_views(box(0.04, 0.04, 0.2))
    assert views.shape == (16, 3, 224, 224)
    pictures = views.transpose(0, 2, 3, 1) * DEVIATION + MEAN
    np.testing.assert_allclose(pictures[:, 0, 0], 0.5, atol=1e-6)
    shown = np.abs(pictures - 0.5).max(axis=-1) > 0.02
    redness = np.where(shown, pictures[..., 0] - pictures[..., 2], 0.0)
    sides = slice(3, 13)  # seen from there, neither end hides the other
    assert (redness[sides, :80].sum(axis=(1, 2)) > 0).all()
    assert (redness[sides, 144:].sum(axis=(1, 2)) < 0).all()
    height = shown.any(axis=2).sum(axis=1)
    distance_m = 1.5 * float(np.linalg.norm((0.04, 0.04, 0.2)))
    # Seen from 4 degrees above its middle, a 0.2 m edge that is 0.02 to 0.03 m nearer than the centre.
    nearest, furthest = (224 / 2 / np.tan(np.deg2rad(22.5)) * 0.2 / (distance_m - d) for d in (0.03, 0.0))
    assert furthest < height[7] < nearest + 3
