"""Viewing directions from a subdivided icosahedron, and the rotation grid that registration starts from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import exp_so3, rotation_angle

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def icosphere(subdivisions: int) -> Float64:
    """Unit directions ``(10 * 4**n + 2, 3)``: 12, 42, 162, 642, 2562 for n = 0, 1, 2, 3, 4."""
    g = (1.0 + np.sqrt(5.0)) / 2.0
    v = np.array(
        [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g]]
        + [[0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]],
        dtype=np.float64,
    )
    f = np.array(
        [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2]]
        + [[10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5]]
        + [[2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]],
        dtype=np.int64,
    )
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    for _ in range(subdivisions):
        v, f = _split_edges(v, f)
    return v


def _split_edges(v: Float64, f: Int64) -> tuple[Float64, Int64]:
    """One subdivision: a new vertex in the middle of every edge, pushed out to the unit sphere."""
    edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = v[unique].mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    m01, m12, m20 = (inverse.reshape(-1) + len(v)).reshape(3, -1)
    a, b, c = f.T
    corners = [[a, m01, m20], [m01, b, m12], [m20, m12, c], [m01, m12, m20]]
    return np.concatenate([v, middle]), np.concatenate([np.stack(triangle, axis=1) for triangle in corners])


def golden_spiral(count: int) -> Float64:
    """Unit directions ``(count, 3)`` spread evenly over the sphere: equal steps in z, the golden angle in between."""
    index = np.arange(count)
    z = 1.0 - (2.0 * index + 1.0) / count
    azimuth = index * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def look_at_origin(directions: Float64) -> Float64:
    """Rotations ``R_cam_obj (N, 3, 3)`` of cameras that sit at ``directions (N, 3)`` and look at the origin.

    Camera z points at the object; x is ``up x z`` with up = +z, and (1, 0, 0) at the poles where that vanishes
    (the upstream rule, reference-networks 5.7).
    """
    z = -directions / np.linalg.norm(directions, axis=1, keepdims=True)
    x = np.cross(np.array([0.0, 0.0, 1.0]), z)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    pole = norm[:, 0] < 1e-9
    x[pole], norm[pole] = (1.0, 0.0, 0.0), 1.0
    x = x / norm
    y = np.cross(z, x)
    return np.stack([x, y, z], axis=1)  # rows are the camera axes in object coordinates


def rotation_grid(*, subdivisions: int = 1, inplane_count: int = 6) -> Float64:
    """Rotations ``R_cam_obj (G, 3, 3)``: every icosphere view times equal in-plane turns (42 x 6 = 252)."""
    views = look_at_origin(icosphere(subdivisions))
    angles = np.arange(inplane_count) * (2.0 * np.pi / inplane_count)
    turns = exp_so3(np.stack([np.zeros_like(angles), np.zeros_like(angles), angles], axis=1))
    return np.asarray(np.einsum("kij,njl->nkil", turns, views).reshape(-1, 3, 3))


def reduce_by_symmetry(grid: Float64, symmetries: Float64, *, min_angle_deg: float = 30.0) -> Float64:
    """Drop rotations that a symmetry brings within ``min_angle_deg`` of one already kept (greedy, in order).

    Args:
        grid: ``R_cam_obj (G, 3, 3)``.
        symmetries: Motions ``(S, 4, 4)`` of the object onto itself, identity first.
        min_angle_deg: Two hypotheses nearer than this are one [deg].
    """
    limit = np.deg2rad(min_angle_deg)
    S = symmetries[:, :3, :3]
    kept: list[Float64] = []
    for R in grid:
        images = R @ S
        if all(float(rotation_angle(images, other).min()) >= limit for other in kept):
            kept.append(R)
    return np.stack(kept)
