"""Placement: hypotheses begin where their visible side meets the measured one, within the image."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.pipeline.register.config import PlacementConfig
from storm_edge.pipeline.register.placement import Placement, is_cut_off
from tests.kernels.shapes import sphere

RADIUS_M = 0.05
K = np.array([[500.0, 0.0, 159.5], [0.0, 500.0, 119.5], [0.0, 0.0, 1.0]])
SIZE_PX = (240, 320)


@pytest.fixture(scope="module")
def placement() -> Placement:
    return Placement(MeshBuffers.from_mesh(sphere(RADIUS_M)), np.eye(3)[None], 2 * RADIUS_M)


def seen_at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Surface under the mask [m], and the mask, of the sphere at a place."""
    picture = render(MeshBuffers.from_mesh(sphere(RADIUS_M)), make_T(np.eye(3), t), K, SIZE_PX)
    mask = picture.mask[0] > 0
    return picture.xyz[0][mask].astype(np.float64), mask


def test_the_visible_side_of_a_sphere_faces_the_camera(placement: Placement) -> None:
    """Seen from afar the visible half of a sphere of radius r has its mean over the disc at 2/3 r towards us."""
    np.testing.assert_allclose(placement.centres[0, :2], 0.0, atol=1e-3)
    # From 4 diameters a little less of the half is seen, and a raster of 32 px has steps: 4 % of r.
    assert placement.centres[0, 2] == pytest.approx(-2.0 / 3.0 * RADIUS_M, abs=0.08 * RADIUS_M)


def test_a_sphere_in_the_image_is_where_it_is_seen(placement: Placement) -> None:
    t = np.array([0.04, -0.03, 0.6])
    surface, mask = seen_at(t)
    assert not is_cut_off(mask, PlacementConfig().edge_px)
    np.testing.assert_allclose(placement.poses(surface, mask, K)[0, :3, 3], t, atol=0.1 * RADIUS_M)


@pytest.mark.parametrize("t", [[-0.19, 0.0, 0.6], [0.215, 0.0, 0.6], [0.1, 0.155, 0.6], [-0.19, -0.14, 0.6]])
def test_a_sphere_cut_off_by_the_image_reaches_beyond_it(placement: Placement, t: list[float]) -> None:
    """What is seen of it alone would have its middle a third of a radius and more further in."""
    surface, mask = seen_at(np.array(t))
    assert is_cut_off(mask, PlacementConfig().edge_px)
    plain = np.median(surface, axis=0) - placement.centres[0]
    assert np.linalg.norm(plain - t) > 0.3 * RADIUS_M
    found = placement.poses(surface, mask, K)[0, :3, 3]
    assert np.linalg.norm(found - t) < 0.5 * np.linalg.norm(plain - t)


def test_what_would_be_out_of_sight_stays_where_it_is(placement: Placement) -> None:
    """A mask at the edge with stray depth far outside of what the image shows: no division by nothing."""
    mask = np.zeros(SIZE_PX, dtype=bool)
    mask[:, 0] = True
    poses = placement.poses(np.array([[-3.0, 0.0, 0.6]] * 5), mask, K)
    assert np.isfinite(poses).all()
