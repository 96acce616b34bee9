"""A textured cup-like object, its sparse views and a rendered frame, for the tests of the geometric modalities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from storm_edge.objects.viewpoints import SparseViewpoints, build_viewpoints

K_CAMERA = np.array([[500.0, 0.0, 159.5], [0.0, 505.0, 119.5], [0.0, 0.0, 1.0]])
SIZE_PX = (240, 320)
T_TRUE = make_T(exp_so3([1.9, 0.3, -0.4]), [0.02, -0.01, 0.6])


@dataclass(frozen=True)
class Picture:
    """One RGB-D image on the host."""

    rgb: np.ndarray
    depth: np.ndarray


@cache
def handled_box(*, plain: bool = False) -> Mesh:
    """A painted box with a smaller one on its side, 12 cm: no symmetry, fine enough for vertex colours."""
    parts = [_box((0.04, 0.03, 0.05), (0.0, 0.0, 0.0)), _box((0.015, 0.008, 0.025), (0.055, 0.0, 0.01))]
    vertices = np.concatenate([parts[0][0], parts[1][0]])
    faces = np.concatenate([parts[0][1], parts[1][1] + len(parts[0][0])])
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0
    vertices = vertices - centre
    pattern = 0.5 + 0.5 * np.sin(vertices @ np.array([[90.0, 30.0, -50.0], [20.0, 80.0, 60.0], [-40.0, 70.0, 85.0]]))
    colours = np.full_like(vertices, 0.7) if plain else 0.25 + 0.7 * pattern
    colours[:, 2] *= 0.3
    return make_mesh(vertices, faces, colours=colours)


def _box(half: tuple[float, float, float], offset: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a box with a grid of 12 x 12 squares on every side."""
    line = np.linspace(-1.0, 1.0, 13)
    a, b = np.meshgrid(line, line, indexing="ij")
    i = (np.arange(12)[:, None] * 13 + np.arange(12)).ravel()
    square = np.concatenate([np.stack([i, i + 13, i + 14], axis=1), np.stack([i, i + 14, i + 1], axis=1)])
    vertices, faces = [], []
    for axis in range(3):
        for side in (-1.0, 1.0):
            plane = np.empty((169, 3))
            plane[:, axis] = side
            plane[:, (axis + 1) % 3], plane[:, (axis + 2) % 3] = a.ravel(), b.ravel()
            vertices.append(plane * half + offset)
            faces.append((square if side > 0 else square[:, ::-1]) + 169 * len(faces))
    return np.concatenate(vertices), np.concatenate(faces)


@cache
def views(*, plain: bool = False) -> SparseViewpoints:
    """Sparse views of `handled_box`, coarse enough to be made in a second."""
    return build_viewpoints(handled_box(plain=plain), subdivisions=2)


def picture(T: np.ndarray = T_TRUE, mesh: Mesh | None = None, *, background_m: float = 0.8, seed: int = 3) -> Picture:
    """An object (`handled_box`) before a noisy bluish wall, lit a little from the side."""
    rng = np.random.default_rng(seed)
    light = Lighting(ambient=0.7, diffuse=0.3, to_light=(0.3, -0.5, -1.0))
    shot = render(handled_box() if mesh is None else mesh, T, K_CAMERA, SIZE_PX, lighting=light)
    seen = shot.mask[0] != 0
    wall = np.array([70.0, 90.0, 140.0]) + rng.normal(0.0, 12.0, (*SIZE_PX, 3))
    rgb = np.where(seen[..., None], 255.0 * shot.colour[0] + rng.normal(0.0, 4.0, wall.shape), wall)
    depth = np.where(seen, shot.depth[0], background_m) + rng.normal(0.0, 0.0005, SIZE_PX)
    return Picture(rgb.clip(0, 255).astype(np.uint8), depth.astype(np.float32))


def moved(T: np.ndarray, angle_deg: float, distance_m: float, rng: np.random.Generator) -> np.ndarray:
    """The pose turned by an angle about a random axis and shifted by a distance in a random direction."""
    w, v = rng.standard_normal((2, 3))
    w *= np.deg2rad(angle_deg) / np.linalg.norm(w)
    v *= distance_m / np.linalg.norm(v)
    return make_T(exp_so3(w) @ T[:3, :3], T[:3, 3] + v)
