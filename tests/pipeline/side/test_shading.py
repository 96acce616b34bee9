"""What gain and shading leave of colours: nothing of a lit model, much of another colour."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.pipeline.side.config import SideEvidenceConfig
from storm_edge.pipeline.side.shading import colour_distances, rendered_normals

SIZE = 32
K = np.array([[80.0, 0.0, 15.5], [0.0, 60.0, 15.5], [0.0, 0.0, 1.0]], dtype=np.float32)
GREEN, GREY = (0.5, 0.65, 0.4), (0.2, 0.22, 0.27)


def plane(normal: tuple[float, float, float], z_m: float = 1.0) -> np.ndarray:
    """Depth [m] of a plane through the middle of the window ``(S, S)``."""
    columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones((SIZE, SIZE))])
    n = np.array(normal)
    return (n[2] * z_m / np.tensordot(n, rays, 1)).astype(np.float32)


def corner() -> np.ndarray:
    """Two faces that meet in the middle, one to either side."""
    left, right = plane((0.6, 0.0, 0.8)), plane((-0.6, 0.0, 0.8))
    return np.where(np.arange(SIZE) < SIZE // 2, left, right)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, -0.5, 0.866)])
def test_normals_of_a_plane(normal: tuple[float, float, float]) -> None:
    """Within the tenth of a radian by which rays differ."""
    normals = rendered_normals(plane(normal)[None], K)[0]
    apart = np.arccos(np.clip(np.tensordot(np.array(normal), normals, 1), -1.0, 1.0))
    assert np.rad2deg(apart.max()) < 15.0
    np.testing.assert_allclose(np.linalg.norm(normals, axis=0), 1.0, atol=1e-5)


def test_normals_do_not_cross_an_edge() -> None:
    depth = np.where(np.arange(SIZE) < SIZE // 2, plane((0.0, 0.0, 1.0)), plane((0.0, 0.0, 1.0), 1.5))
    np.testing.assert_allclose(rendered_normals(depth[None], K)[0, 2], 1.0, atol=1e-4)


def coloured(left: tuple[float, float, float], right: tuple[float, float, float]) -> np.ndarray:
    halves = np.where((np.arange(SIZE) < SIZE // 2)[None, :, None], np.array(left), np.array(right))
    return np.broadcast_to(halves, (SIZE, SIZE, 3)).astype(np.float32)


def test_a_face_turned_from_the_light_is_no_dark_one() -> None:
    """A green box lit from the left: the model that is green all over fits, one with a grey right face does not."""
    shade = np.where(np.arange(SIZE) < SIZE // 2, 1.0, 0.5).astype(np.float32)[None, :, None]
    seen = coloured(GREEN, GREEN) * shade * np.array([1.1, 0.9, 1.0], dtype=np.float32)
    models = np.stack([coloured(GREEN, GREEN), coloured(GREEN, GREY)])
    depth = np.stack([corner(), corner()])
    where = np.ones((2, SIZE, SIZE), dtype=bool)
    left = colour_distances(seen, models, rendered_normals(depth, K), where, SideEvidenceConfig())
    assert left[0].mean() < 0.02
    assert left[1].mean() > 2.0 * left[0].mean()


def test_a_mark_where_none_is_stays() -> None:
    seen = coloured(GREEN, GREEN).copy()
    seen[10:16, 10:16] = (0.9, 0.1, 0.1)
    depth, where = corner()[None], np.ones((1, SIZE, SIZE), dtype=bool)
    left = colour_distances(
        seen, coloured(GREEN, GREEN)[None], rendered_normals(depth, K), where, SideEvidenceConfig()
    )
    assert left[0, 10:16, 10:16].min() > 0.2
    assert left[0, 20:].max() < 0.06


def test_pixels_that_do_not_count_change_nothing() -> None:
    seen = coloured(GREEN, GREEN).copy()
    seen[:8] = 1.0
    where = np.ones((1, SIZE, SIZE), dtype=bool)
    where[:, :8] = False
    normals = rendered_normals(corner()[None], K)
    left = colour_distances(seen, coloured(GREEN, GREEN)[None], normals, where, SideEvidenceConfig())
    assert (left[0, :8] == 0.0).all()
    assert left.max() < 0.01
    nothing = np.zeros_like(where)
    assert (colour_distances(seen, coloured(GREEN, GREEN)[None], normals, nothing, SideEvidenceConfig()) == 0.0).all()
