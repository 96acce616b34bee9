"""Polygons of any number of corners to triangles, concave ones too; the readers of OBJ and PLY call it.

A polygon is a run of corners, so whatever a corner carries (a texture coordinate, a colour) stays with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

_REFLEX_TOLERANCE = 1e-9
"""Share of the polygon's squared size below which a turn to the wrong side counts as straight."""


def triangulate(corner_positions: Float64, sizes: Int64) -> tuple[Int64, Int64]:
    """Cut polygons into triangles, in the polygons' order and winding.

    A convex polygon becomes a fan around its first corner. A concave one is cut by its ears in the plane that fits
    it best, so it may be slightly bent. Polygons of fewer than three corners are dropped.

    Args:
        corner_positions: Positions of all corners, polygon after polygon, shape ``(C, 3)``.
        sizes: Corners of each polygon, shape ``(P,)``; their sum is C.

    Returns:
        Triangles as indices of corners ``(T, 3)``, and the polygon ``(T,)`` each was cut from.
    """
    start = np.cumsum(sizes) - sizes
    triangles: list[Int64] = []
    owners: list[Int64] = []
    for size in np.unique(sizes[sizes >= 3]).tolist():
        polygons = np.flatnonzero(sizes == size)
        corners = start[polygons, None] + np.arange(size)
        fan = np.stack([np.zeros(size - 2, np.int64), np.arange(1, size - 1), np.arange(2, size)], axis=1)
        cuts = np.broadcast_to(fan, (len(polygons), size - 2, 3))
        if size > 3:
            normals, concave = _normals_and_concave(corner_positions[corners])
            if concave.any():
                cuts = cuts.copy()
                for index in np.flatnonzero(concave):
                    cuts[index] = _ears(corner_positions[corners[index]], normals[index], fan)
        triangles.append((corners[:, :1, None] + cuts).reshape(-1, 3))
        owners.append(np.repeat(polygons, size - 2))
    if not triangles:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order]


def _normals_and_concave(positions: Float64) -> tuple[Float64, NDArray[np.bool_]]:
    """Unit normals ``(P, 3)`` of polygons ``(P, N, 3)`` after Newell, and which ``(P,)`` turn both ways."""
    edge = np.roll(positions, -1, axis=1) - positions
    relative = positions - positions.mean(axis=1, keepdims=True)
    twice_area = np.cross(relative, np.roll(relative, -1, axis=1)).sum(axis=1)
    length = np.linalg.norm(twice_area, axis=1, keepdims=True)
    normals = twice_area / np.where(length > 0.0, length, 1.0)
    turns = np.einsum("pni,pi->pn", np.cross(np.roll(edge, 1, axis=1), edge), normals)
    squared_size = (edge**2).sum(axis=(1, 2))
    return normals, (turns < -_REFLEX_TOLERANCE * squared_size[:, None]).any(axis=1)


def _ears(positions: Float64, normal: Float64, fan: Int64) -> Int64:
    """Triangles ``(N - 2, 3)`` of one polygon ``(N, 3)``; those that straight corners save repeat a corner."""
    import mapbox_earcut

    across = np.eye(3)[np.argmin(np.abs(normal))]
    x_axis = np.cross(across, normal)
    x_axis /= np.linalg.norm(x_axis)
    flat = np.ascontiguousarray((positions - positions.mean(axis=0)) @ np.stack([x_axis, np.cross(normal, x_axis)]).T)
    ends = np.array([len(flat)], dtype=np.uint32)
    cut = np.asarray(mapbox_earcut.triangulate_float64(flat, ends), dtype=np.int64).reshape(-1, 3)
    if len(cut) == 0 or len(cut) > len(fan):  # it crosses itself or has no area
        return fan
    a, b, c = (flat[cut[:, k]] for k in range(3))
    backwards = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) < (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    cut[backwards] = cut[backwards][:, ::-1]
    triangles = np.zeros_like(fan)  # a triangle without area, which `surface.clean` drops
    triangles[: len(cut)] = cut
    return triangles
