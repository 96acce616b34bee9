"""View directions and the rotation grid against the counts measured on the upstream code."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry import se3, viewsphere
from storm_edge.geometry.symmetry import ContinuousSymmetry, symmetry_transforms


@pytest.mark.parametrize(("subdivisions", "count"), [(0, 12), (1, 42), (2, 162), (3, 642)])
def test_icosphere_counts(subdivisions: int, count: int) -> None:
    directions = viewsphere.icosphere(subdivisions)
    assert directions.shape == (count, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    assert len(np.unique(directions.round(9), axis=0)) == count


def test_cameras_look_at_the_origin() -> None:
    directions = viewsphere.icosphere(1)
    R = viewsphere.look_at_origin(directions)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1.0)
    # The camera sits on its own -z axis: R maps its direction to -z.
    np.testing.assert_allclose(np.einsum("nij,nj->ni", R, directions), [[0, 0, -1]] * len(R), atol=1e-12)


@pytest.mark.parametrize(
    ("symmetries", "count"),
    [
        (symmetry_transforms(), 252),
        (symmetry_transforms([np.diag([-1.0, -1.0, 1.0, 1.0])]), 126),
        (symmetry_transforms(continuous=[ContinuousSymmetry(axis=(0, 0, 1))]), 20),
    ],
)
def test_grid_reduced_by_symmetry(symmetries: np.ndarray, count: int) -> None:
    """Counts of reference-networks 5.7: 252 without symmetry, 126 for a half turn, 20 for a revolution."""
    assert len(viewsphere.reduce_by_symmetry(viewsphere.rotation_grid(), symmetries)) == count


def test_grid_leaves_no_rotation_far_away(rng: np.random.Generator) -> None:
    """Every rotation has a hypothesis within reach of the refiner (worst of 500 draws: 37 degrees)."""
    grid = viewsphere.rotation_grid()
    worst = max(se3.rotation_angle(grid, se3.random_rotation(rng)).min() for _ in range(500))
    assert np.rad2deg(worst) < 42.0
