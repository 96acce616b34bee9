"""Closed surfaces to compose shapes of: boxes, surfaces of revolution, tubes, and their union.

Every primitive takes the wanted triangle side ``step``, so that triangles are near-uniform and vertex colours can
carry a texture. Parts of a union simply interpenetrate: the depth test hides what lies inside.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Surface = tuple[Float64, Int64]
"""Vertices ``(V, 3)`` and faces ``(F, 3)``, counter-clockwise seen from outside."""


def grid_faces(rows: int, columns: int, *, closed: bool = False) -> Int64:
    """Two triangles per cell of a ``rows x columns`` vertex grid; ``closed`` joins the last column to the first."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a = (i * columns + j).reshape(-1)
    b = (i * columns + (j + 1) % columns).reshape(-1)
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])


def box(size: NDArray[np.floating] | tuple[float, float, float], step: float) -> Surface:
    """Axis-aligned box about the origin; its six sides share no vertices, so its edges are sharp."""
    half = np.asarray(size, dtype=np.float64) / 2.0
    parts: list[Surface] = []
    for axis in range(3):
        u_axis, v_axis = (axis + 1) % 3, (axis + 2) % 3
        u = np.linspace(-half[u_axis], half[u_axis], _count(2.0 * half[u_axis], step) + 1)
        v = np.linspace(-half[v_axis], half[v_axis], _count(2.0 * half[v_axis], step) + 1)
        vv, uu = np.meshgrid(v, u, indexing="ij")
        for sign in (-1.0, 1.0):
            vertices = np.empty((vv.size, 3))
            vertices[:, axis], vertices[:, u_axis], vertices[:, v_axis] = sign * half[axis], uu.ravel(), vv.ravel()
            faces = grid_faces(len(v), len(u))
            parts.append((vertices, faces if sign > 0.0 else faces[:, ::-1]))
    return union(*parts)


def rounded(size: NDArray[np.floating] | tuple[float, float, float], step: float, exponent: float) -> Surface:
    """Ball of the p-norm about the origin: an ellipsoid at exponent 2, towards a box with round edges above it."""
    vertices, faces = weld(box(size, step))
    q = np.abs(vertices) / (np.asarray(size, dtype=np.float64) / 2.0)
    largest = q.max(axis=1, keepdims=True)
    # Largest component first: |q|^p of small numbers to a high power would underflow.
    p_norm = largest * np.sum((q / largest) ** exponent, axis=1, keepdims=True) ** (1.0 / exponent)
    return vertices * (largest / p_norm), faces


def revolve(profile: NDArray[np.floating], step: float) -> Surface:
    """Surface of revolution about z.

    Args:
        profile: Polyline ``(P, 2)`` of radius and height; going up has the outside on the right. Both ends are
            closed to the axis.
        step: Side of a triangle.
    """
    line = np.asarray(profile, dtype=np.float64)
    line = np.concatenate([[[0.0, line[0, 1]]], line, [[0.0, line[-1, 1]]]])
    line = _resample(line, step)
    count = int(np.clip(round(2.0 * np.pi * line[:, 0].max() / step), 12, 120))
    angle = np.arange(count) * (2.0 * np.pi / count)
    rings = np.empty((len(line), count, 3))
    rings[..., 0] = line[:, :1] * np.cos(angle)
    rings[..., 1] = line[:, :1] * np.sin(angle)
    rings[..., 2] = line[:, 1:]
    return weld((rings.reshape(-1, 3), grid_faces(len(line), count, closed=True)))


def tube(points: NDArray[np.floating], radii: NDArray[np.floating] | float, step: float) -> Surface:
    """Round tube along a polyline with hemispherical ends (two points make a capsule).

    Args:
        points: Centre line, shape ``(P, 3)``.
        radii: One radius, or one per point ``(P,)``.
        step: Side of a triangle.
    """
    centres = np.asarray(points, dtype=np.float64)
    line = np.concatenate([centres, np.broadcast_to(radii, len(centres))[:, None]], axis=1)
    line = _resample(line, step)
    centres, radius = line[:, :3], line[:, 3]
    tangents = np.gradient(centres, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    count = int(np.clip(round(2.0 * np.pi * radius.max() / step), 8, 48))
    cap_rings = max(2, int(np.ceil(0.5 * np.pi * radius.max() / step)))
    latitude = np.arange(cap_rings, 0, -1) * (0.5 * np.pi / cap_rings)
    start = [(centres[0] - radius[0] * np.sin(a) * tangents[0], radius[0] * np.cos(a), tangents[0]) for a in latitude]
    end = [
        (centres[-1] + radius[-1] * np.sin(a) * tangents[-1], radius[-1] * np.cos(a), tangents[-1])
        for a in latitude[::-1]
    ]
    stations = [*start, *zip(centres, radius, tangents, strict=True), *end]
    angle = np.arange(count) * (2.0 * np.pi / count)
    x = np.cross(tangents[0], np.eye(3)[int(np.argmin(np.abs(tangents[0])))])
    rings = np.empty((len(stations), count, 3))
    for index, (centre, r, tangent) in enumerate(stations):
        x = x - tangent * (x @ tangent)  # parallel transport: the frame follows the line without spinning
        x = x / np.linalg.norm(x)
        y = np.cross(tangent, x)
        rings[index] = centre + r * (np.cos(angle)[:, None] * x + np.sin(angle)[:, None] * y)
    return weld((rings.reshape(-1, 3), grid_faces(len(stations), count, closed=True)))


def union(*parts: Surface) -> Surface:
    """All parts as one surface."""
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    return (
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + offset for (_, faces), offset in zip(parts, offsets, strict=True)]),
    )


def weld(surface: Surface) -> Surface:
    """Join vertices at one place and drop triangles that have no area left."""
    vertices, faces = surface
    _, first, inverse = np.unique(np.round(vertices, 9), axis=0, return_index=True, return_inverse=True)
    faces = inverse.reshape(-1)[faces]
    sound = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return vertices[first], faces[sound]


def moved(
    surface: Surface, offset: NDArray[np.floating] | tuple[float, float, float], R: Float64 | None = None
) -> Surface:
    """The surface turned by ``R (3, 3)`` and then shifted."""
    vertices, faces = surface
    return (vertices if R is None else vertices @ R.T) + np.asarray(offset, dtype=np.float64), faces


def _count(length: float, step: float) -> int:
    return max(1, round(length / step))


def _resample(line: Float64, step: float) -> Float64:
    """Cut every segment of a polyline ``(P, D)`` into pieces of about ``step``; corners stay."""
    pieces = [line[:1]]
    for a, b in pairwise(line):
        count = _count(float(np.linalg.norm((b - a)[: min(3, len(a))])), step)
        pieces.append(a + (b - a) * (np.arange(1, count + 1) / count)[:, None])
    return np.concatenate(pieces)


def spline(points: NDArray[np.floating], count: int) -> Float64:
    """Smooth curve through control points ``(P, D)``, sampled at ``count`` places."""
    from scipy.interpolate import CubicSpline

    knots = np.arange(len(points))
    return np.asarray(CubicSpline(knots, points)(np.linspace(0.0, knots[-1], count)))
