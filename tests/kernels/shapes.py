"""Small surfaces with known answers for the kernel tests."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import make_T, random_rotation
from storm_edge.geometry.viewsphere import icosphere

K_CAMERA = np.array([[600.0, 0.0, 320.0], [0.0, 610.0, 240.0], [0.0, 0.0, 1.0]])


def sphere(radius_m: float, subdivisions: int = 2) -> Mesh:
    """A coloured sphere; faces turned outwards."""
    v = icosphere(subdivisions)
    faces = ConvexHull(v).simplices
    corners = v[faces]
    inward = np.einsum(
        "fi,fi->f", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), corners[:, 0]
    )
    faces[inward < 0] = faces[inward < 0][:, ::-1]
    return make_mesh(v * radius_m, faces, colours=np.abs(v))


def quad(half_m: float, *, textured: bool = False) -> Mesh:
    """A square in the plane z = 0 that faces -z (towards a camera looking along +z)."""
    v = half_m * np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    if not textured:
        return make_mesh(v, faces)
    uv = np.array([[0.0, 1], [1, 1], [1, 0], [0, 0]])  # v upwards: the image's top is at the camera's top (-y)
    texture = np.random.default_rng(7).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return make_mesh(v, faces, uv=uv, texture=texture)


def soup(rng: np.random.Generator, count: int = 40, size_m: float = 0.1) -> Mesh:
    """Random triangles that intersect and overlap, random colours."""
    v = rng.uniform(-size_m, size_m, (3 * count, 3))
    return make_mesh(v, np.arange(3 * count).reshape(-1, 3), colours=rng.uniform(0, 1, (3 * count, 3)))


def poses(rng: np.random.Generator, count: int, z_m: float = 0.6, spread_m: float = 0.05) -> np.ndarray:
    """Random poses in front of the camera, ``(count, 4, 4)``."""
    t = rng.uniform(-spread_m, spread_m, (count, 3)) + [0.0, 0.0, z_m]
    return np.stack([make_T(random_rotation(rng), t[i]) for i in range(count)])
