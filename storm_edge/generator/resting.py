"""How an object may lie: rotations in which it rests on a plane, and its extreme points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from storm_edge.geometry.se3 import random_rotation
from storm_edge.geometry.viewsphere import icosphere

Float64 = NDArray[np.float64]

REST_COUNT = 6
"""Rotations kept of an object: upright twice, on facets of its hull, and anyhow, as things leaning on others are."""
_UPRIGHT, _FACETS = 2, 3
_DIRECTIONS = np.asarray(icosphere(2), dtype=np.float64)


def support_points(vertices: NDArray[np.floating]) -> Float64:
    """The vertex that is farthest in each of evenly spread directions, ``(P, 3)``; some stand there repeatedly."""
    v = np.asarray(vertices, dtype=np.float64)
    return np.asarray(v[np.argmax(_DIRECTIONS @ v.T, axis=1)])


def resting_turns(
    rng: np.random.Generator, extreme: Float64, vertices: NDArray[np.floating]
) -> tuple[Float64, Float64]:
    """Rotations into a z-up world, and the height of the origin above the plane [m].

    Args:
        rng: Which facets, and how it was thrown.
        extreme: `support_points` of the object.
        vertices: All its vertices [m] ``(V, 3)``.

    Returns:
        ``(REST_COUNT, 3, 3)`` and ``(REST_COUNT,)``.
    """
    R = np.tile(np.eye(3), (REST_COUNT, 1, 1))
    downward = _facet_normals(rng, extreme, _FACETS)
    for k, normal in enumerate(downward):
        R[_UPRIGHT + k] = _turned_down(normal)
    R[-1] = random_rotation(rng)
    heights = -(np.asarray(vertices, dtype=np.float64) @ R.transpose(0, 2, 1))[..., 2].min(axis=1)
    return R, heights


def _facet_normals(rng: np.random.Generator, points: Float64, count: int) -> Float64:
    """Outward normals of facets of the hull, drawn by their area, ``(count, 3)``."""
    try:
        hull = ConvexHull(np.unique(points, axis=0))
    except (QhullError, ValueError):  # a flat object: it lies on one of its sides
        return np.stack([random_rotation(rng)[0] for _ in range(count)])
    corners = hull.points[hull.simplices]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    picked = rng.choice(len(area), size=count, p=area / area.sum())
    return np.asarray(hull.equations[picked, :3])


def _turned_down(normal: Float64) -> Float64:
    """A rotation that takes ``normal (3,)`` to -z."""
    z = -normal / np.linalg.norm(normal)
    helper = np.array([1.0, 0.0, 0.0]) if abs(z[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])
