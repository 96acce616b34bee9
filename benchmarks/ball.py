"""A ball before a camera: the mesh that kernels are timed on, since where it is seen is known without a renderer."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import make_T, random_rotation

RADIUS_M, DISTANCE_M = 0.05, 0.6
K = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])


def ball(triangle_count: int) -> Mesh:
    """A sphere of evenly spread vertices with about ``triangle_count`` faces, which is 2V - 4 for V vertices."""
    count = triangle_count // 2 + 2
    i = np.arange(count) + 0.5
    polar, turn = np.arccos(1.0 - 2.0 * i / count), np.pi * (1.0 + 5.0**0.5) * i
    v = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    faces = ConvexHull(v).simplices
    corners = v[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("fi,fi->f", normal, corners[:, 0]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return make_mesh(RADIUS_M * v, faces, colours=np.abs(v))


def poses(count: int) -> np.ndarray:
    """Turned balls in front of the camera, ``(count, 4, 4)``."""
    rng = np.random.default_rng(0)
    return np.stack([make_T(random_rotation(rng), [0.0, 0.0, DISTANCE_M]) for _ in range(count)])
