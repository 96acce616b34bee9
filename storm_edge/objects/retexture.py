"""A texture carried over to a reduced surface, whose triangles cross the old one's seams.

Every triangle of the reduced surface gets a piece of a new image of its own, painted with what the old surface shows
at the nearest place of the same side. So print stays as sharp as the image allows, however few triangles are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from storm_edge.objects.surface import Float64, Int64, Surface, UInt8, baked_colours, clean, decimate
from storm_edge.objects.texture_files import MAX_TEXTURE_PX

_SAMPLES = 200_000
"""Points of the old surface among which the nearest is looked for; it is then placed exactly within its triangle."""
_NORMAL_WEIGHT = 0.02
"""Share of the model's size by which opposite sides of a thin wall are apart, though they touch."""
_MIN_PIECE_PX = 6
"""Side of the square that the smallest piece may take; more triangles than fit so make the image larger."""
_BORDER_PX = 1
"""Texels around a triangle's piece, which bilinear sampling at its edge reads."""


@dataclass(frozen=True, kw_only=True)
class _Pieces:
    """Where the triangles lie in the new image [px]; corner a at the lower left, the longest edge along x."""

    size_px: tuple[int, int]
    """Height and width of the image."""
    origin_px: Int64
    """Column and row of corner a, ``(F, 2)``."""
    corners_px: Float64
    """Corners in the piece, relative to ``origin_px``, ``(F, 3, 2)``."""


def reduce_surface(surface: Surface, max_faces: int) -> Surface:
    """Reduce to at most ``max_faces``, with texture or colours carried over; no-op below that."""
    if len(surface.faces) <= max_faces:
        return surface
    coarse = decimate(surface, max_faces)
    return coarse if surface.texture is None else retextured(clean(coarse, what="model after decimation"), surface)


def retextured(reduced: Surface, old: Surface) -> Surface:
    """The reduced surface with a new texture that shows what the old one does.

    Args:
        reduced: Its colours are not used.
        old: A surface with texture; the same shape, more finely divided.
    """
    corners = reduced.vertices[reduced.faces]
    edges = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    first = np.argmax(edges, axis=1)
    order = (first[:, None] + np.arange(3)) % 3
    faces = np.take_along_axis(reduced.faces, order, axis=1)  # the longest edge is a to b
    corners = reduced.vertices[faces]
    pieces = _packed(corners)
    height, width = pieces.size_px
    texture: UInt8 = np.zeros((height, width, 3), dtype=np.uint8)
    face, row, column, points = _texels(corners, pieces)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    texture[row, column] = np.round(_shown(old, points, normals[face]) * 255.0).astype(np.uint8)
    at = pieces.origin_px[:, None] + pieces.corners_px + 0.5  # texel centres are at halves
    uv = np.stack([at[..., 0] / width, 1.0 - at[..., 1] / height], axis=-1)
    flat = faces.reshape(-1)
    return Surface(
        vertices=reduced.vertices[flat],
        faces=np.arange(len(flat)).reshape(-1, 3),
        colours=reduced.colours[flat],
        uv=uv.reshape(-1, 2),
        texture=texture,
    )


def _packed(corners: Float64) -> _Pieces:
    """Pieces for triangles ``(F, 3, 3)`` with the finest texel that fits in an image of `MAX_TEXTURE_PX`."""
    side = max(MAX_TEXTURE_PX, int(np.ceil(_MIN_PIECE_PX * np.sqrt(len(corners)))))
    along = corners[:, 1] - corners[:, 0]
    length = np.linalg.norm(along, axis=1)
    up = corners[:, 2] - corners[:, 0]
    x = np.einsum("fi,fi->f", up, along) / length
    y = np.sqrt(np.maximum(np.einsum("fi,fi->f", up, up) - x**2, 0.0))
    flat = np.zeros((len(corners), 3, 2))
    flat[:, 1, 0], flat[:, 2, 0], flat[:, 2, 1] = length, x, y
    texel = np.sqrt((length * y).sum()) / side
    while True:
        size = np.ceil(np.stack([length, y], axis=1) / texel).astype(np.int64) + 1 + 2 * _BORDER_PX
        places, height = _shelves(size, side)
        if height <= side and size[:, 0].max() <= side:
            return _Pieces(size_px=(height, side), origin_px=places + _BORDER_PX, corners_px=flat / texel)
        texel *= 1.05


def _shelves(size: Int64, side: int) -> tuple[Int64, int]:
    """Places ``(F, 2)`` of boxes ``(F, 2)``, column and row, on shelves of falling height and of the width ``side``;
    and the height of all.
    """
    places = np.zeros_like(size)
    column = row = shelf = 0
    order = np.argsort(-size[:, 1], kind="stable")
    for index, (width, height) in zip(order.tolist(), size[order].tolist(), strict=True):
        if column + width > side and column:
            column, row = 0, row + shelf
        if column == 0:
            shelf = height
        places[index] = column, row
        column += width
    return places, row + shelf


def _texels(corners: Float64, pieces: _Pieces) -> tuple[Int64, Int64, Int64, Float64]:
    """Texels that a triangle or bilinear sampling in it touches: triangle, row, column, and the place on its plane.

    Args:
        corners: Triangles ``(F, 3, 3)``.
        pieces: Where they are.

    Returns:
        Indices ``(N,)`` three times, and points ``(N, 3)``, which for texels outside are at the triangle's edge.
    """
    size = np.ceil(pieces.corners_px.max(axis=1)).astype(np.int64) + 1 + 2 * _BORDER_PX
    count = size.prod(axis=1)
    face = np.repeat(np.arange(len(count)), count)
    offset = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    x = offset % size[face, 0] - _BORDER_PX
    y = offset // size[face, 0] - _BORDER_PX
    b, c = pieces.corners_px[:, 1], pieces.corners_px[:, 2]
    # Shares of the corners: the piece's frame has a at 0 and b on the x axis.
    t = y / np.maximum(c[face, 1], 1e-9)
    s = (x - t * c[face, 0]) / b[face, 0]
    reach = 1.0 + _BORDER_PX  # px, of what bilinear sampling needs
    lean = np.maximum(np.abs(c[:, 0]), np.abs(b[:, 0] - c[:, 0])) / np.maximum(c[:, 1], 1.0)
    slope = np.hypot(1.0, lean)[face]
    near = s > -reach * slope / b[face, 0]
    near &= 1.0 - s - t > -reach * slope / b[face, 0]
    face, x, y, s, t = (values[near] for values in (face, x, y, s, t))
    t = np.clip(t, 0.0, 1.0)
    s = np.clip(s, 0.0, 1.0 - t)
    p = corners[face]
    points = p[:, 0] + s[:, None] * (p[:, 1] - p[:, 0]) + t[:, None] * (p[:, 2] - p[:, 0])
    return face, pieces.origin_px[face, 1] + y, pieces.origin_px[face, 0] + x, points


def _shown(old: Surface, points: Float64, normals: Float64) -> NDArray[np.float32]:
    """Colours ``(N, 3)`` that the old surface shows nearest to points ``(N, 3)`` on its side of the normals."""
    corners = old.vertices[old.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(area[:, None], 1e-30)
    weight = _NORMAL_WEIGHT * float(np.ptp(old.vertices, axis=0).max())
    face, sample = _samples(corners, area)
    tree = cKDTree(np.concatenate([sample, weight * normal[face]], axis=1))
    _, nearest = tree.query(np.concatenate([points, weight * normals], axis=1), eps=0.1, workers=-1)
    return _colours_on(old, corners, face[nearest], points)


def _samples(corners: Float64, area: Float64) -> tuple[Int64, Float64]:
    """Triangles ``(M,)`` and points ``(M, 3)`` spread evenly over a surface; each triangle has one at least."""
    share = np.maximum(np.ceil(area / area.sum() * _SAMPLES), 1.0).astype(np.int64)
    face = np.repeat(np.arange(len(corners)), share)
    number = np.arange(len(face)) - np.repeat(np.cumsum(share) - share, share)
    # A low-discrepancy sequence (R2, of the plastic number) folded into the triangle.
    s, t = ((0.5 + number * step) % 1.0 for step in (0.7548776662466927, 0.5698402909980532))
    outside = s + t > 1.0
    s, t = np.where(outside, 1.0 - s, s), np.where(outside, 1.0 - t, t)
    one = share[face] == 1
    s, t = np.where(one, 1.0 / 3.0, s), np.where(one, 1.0 / 3.0, t)
    p = corners[face]
    return face, p[:, 0] + s[:, None] * (p[:, 1] - p[:, 0]) + t[:, None] * (p[:, 2] - p[:, 0])


def _colours_on(old: Surface, corners: Float64, face: Int64, points: Float64) -> NDArray[np.float32]:
    """Colours ``(N, 3)`` of the old surface in triangles ``(N,)``, at the places in them nearest to points."""
    assert old.uv is not None
    p = corners[face]
    u, v, w = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], points - p[:, 0]
    uu, uv, vv = (np.einsum("ni,ni->n", *pair) for pair in ((u, u), (u, v), (v, v)))
    wu, wv = (np.einsum("ni,ni->n", w, edge) for edge in (u, v))
    determinant = np.maximum(uu * vv - uv * uv, 1e-300)
    s = np.clip((vv * wu - uv * wv) / determinant, 0.0, 1.0)
    t = np.clip((uu * wv - uv * wu) / determinant, 0.0, 1.0)
    over = np.maximum(s + t, 1.0)
    s, t = s / over, t / over
    at = old.uv[old.faces[face]]
    where = at[:, 0] + s[:, None] * (at[:, 1] - at[:, 0]) + t[:, None] * (at[:, 2] - at[:, 0])
    return baked_colours(old, where)
