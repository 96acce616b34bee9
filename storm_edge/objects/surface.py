"""Repair of triangle arrays between a model file and a `Mesh`: clean, decimate, orient, split at creases.

Works on the `Surface` value, which has no normals yet. Reading files is `mesh_io`; the result of `to_mesh` is what
the rest of the package sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from storm_edge.errors import MeshError, mismatch
from storm_edge.geometry.mesh import Mesh, make_mesh

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Say = Callable[[str], None]

CREASE_DEG = 50.0
"""Faces that meet at a sharper angle keep their own normals, so a box is shaded (and aligned) as a box."""

_MIN_RELATIVE_AREA = 1e-12
"""A face below this share of the squared model size has no direction left in float32 and is called degenerate."""

_LARGEST = 1e18
"""Coordinates from here on count as infinite: their squares would be in float32."""


def silent(note: str) -> None:
    """Drop a note; the default of every ``say``."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Triangles as they come from a file, before normals."""

    vertices: Float64
    """Positions [m, or the file's unit while it is being read], shape ``(V, 3)``."""
    faces: Int64
    """Vertex indices, shape ``(F, 3)``."""
    colours: Float32
    """Vertex colours, RGB in [0, 1], shape ``(V, 3)``."""
    uv: Float64 | None = None
    """Texture coordinates, v upwards, shape ``(V, 2)``."""
    texture: UInt8 | None = None
    """Texture image, RGB, row 0 on top, shape ``(H, W, 3)``; present exactly when ``uv`` is."""


def _take_vertices(surface: Surface, index: Int64, faces: Int64) -> Surface:
    """The surface with vertices ``index (V',)`` of the old ones and new ``faces``."""
    return replace(
        surface,
        vertices=surface.vertices[index],
        faces=faces,
        colours=surface.colours[index],
        uv=None if surface.uv is None else surface.uv[index],
    )


def same_position(vertices: Float64) -> Int64:
    """For every vertex the number ``(V,)`` of its position, so that vertices split for colour or uv meet again."""
    _, inverse = np.unique(vertices.astype(np.float32), axis=0, return_inverse=True)
    return np.asarray(inverse.reshape(-1), dtype=np.int64)


def clean(surface: Surface, *, what: str, say: Say = silent) -> Surface:
    """Drop faces without area, repeated faces and vertices no face uses; make equal vertices one.

    Raises:
        MeshError: A vertex that a face uses is NaN or infinite, an index is out of range, or no face remains.
    """
    remedy = "export the model again as a triangle mesh"
    vertices, faces = surface.vertices, surface.faces
    if len(faces) == 0 or len(vertices) == 0:
        raise MeshError(mismatch(what, f"{len(vertices)} vertices and {len(faces)} faces", "a triangle mesh", remedy))
    if faces.min() < 0 or faces.max() >= len(vertices):
        index = faces.min() if faces.min() < 0 else faces.max()
        raise MeshError(mismatch(what, f"a face with vertex {index}", f"indices 0..{len(vertices) - 1}", remedy))
    used = np.unique(faces)
    finite = (np.abs(vertices[used]) < _LARGEST).all(axis=1)  # not where it is NaN, either
    if not finite.all():
        raise MeshError(
            mismatch(what, f"{int((~finite).sum())} NaN or infinite vertices", "finite positions", remedy)
        )
    size = float(np.ptp(vertices[used], axis=0).max())
    corner = vertices[faces]
    twice_area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    solid = twice_area > _MIN_RELATIVE_AREA * size**2
    if not solid.any():
        raise MeshError(mismatch(what, f"{len(faces)} faces, all without area", "triangles with an area", remedy))
    if not solid.all():
        say(f"{what}: dropped {int((~solid).sum())} of {len(faces)} faces, which have no area")
    faces = faces[solid]
    _, first = np.unique(np.sort(same_position(vertices)[faces], axis=1), axis=0, return_index=True)
    if len(first) < len(faces):
        say(f"{what}: dropped {len(faces) - len(first)} faces that repeat another one")
        faces = faces[np.sort(first)]
    uv = np.zeros((len(vertices), 0)) if surface.uv is None else surface.uv
    rows = np.concatenate([vertices, surface.colours, uv], axis=1)[faces.reshape(-1)].astype(np.float32)
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return _take_vertices(surface, faces.reshape(-1)[first], inverse.reshape(-1, 3).astype(np.int64))


def face_outwards(surface: Surface, *, what: str, say: Say = silent) -> Surface:
    """Turn a closed, consistently wound surface right side out; leave an open one as it is."""
    faces = same_position(surface.vertices)[surface.faces]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = set(map(tuple, edges.tolist()))
    closed = len(forward) == len(edges) and all((b, a) in forward for a, b in forward)
    if not closed:
        return surface
    corner = surface.vertices[surface.faces] - surface.vertices.mean(axis=0)
    volume = float(np.einsum("fi,fi->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2]))) / 6.0
    if volume >= 0.0:
        return surface
    say(f"{what}: turned the faces around, they pointed inwards")
    return replace(surface, faces=np.ascontiguousarray(surface.faces[:, ::-1]))


def bake_texture(surface: Surface) -> Surface:
    """The texture sampled at the vertices becomes vertex colours; nearest texel, wrapping."""
    if surface.uv is None or surface.texture is None:
        return surface
    return replace(surface, colours=baked_colours(surface, surface.uv), uv=None, texture=None)


def baked_colours(surface: Surface, uv: Float64) -> Float32:
    """Colours ``(N, 3)`` of a surface's texture at coordinates ``(N, 2)``; nearest texel, wrapping."""
    assert surface.texture is not None
    height, width = surface.texture.shape[:2]
    texels = surface.texture[_texel(1.0 - uv[:, 1], height), _texel(uv[:, 0], width)]
    return np.asarray(texels.astype(np.float32) / np.float32(255.0))


def _texel(coordinate: Float64, count: int) -> Int64:
    """Index of the texel at ``coordinate`` in [0, 1]; outside it repeats, and 1 itself is the last texel."""
    wrapped = np.where((coordinate % 1.0 == 0.0) & (coordinate > 0.0), 1.0, coordinate % 1.0)
    return np.minimum((wrapped * count).astype(np.int64), count - 1)


def decimate(surface: Surface, max_faces: int) -> Surface:
    """Reduce to at most ``max_faces`` by quadric edge collapse (``fast_simplification``); no-op below that.

    Edge collapse does not carry texture coordinates over seams, so a texture becomes vertex colours here; `retexture`
    carries it over. A new vertex gets the mean colour of the old vertices it is nearest to, or that of its own
    nearest one where it is none's.
    """
    if len(surface.faces) <= max_faces:
        return surface
    import fast_simplification

    surface = bake_texture(surface)
    position = same_position(surface.vertices)  # vertices split at seams would tear open
    _, first = np.unique(position, return_index=True)
    old, old_colours = surface.vertices[first], surface.colours[first]
    vertices, faces = fast_simplification.simplify(
        old.astype(np.float32), position[surface.faces].astype(np.int32), target_count=max_faces
    )
    vertices = np.asarray(vertices, dtype=np.float64)
    # A flat and finely divided model collapses to faces without area, too: they show nothing and have no normal.
    corner = vertices[np.asarray(faces)]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    faces = faces[area > 1e-9 * area.mean()]
    _, owner = cKDTree(vertices).query(old)
    count = np.bincount(owner, minlength=len(vertices))
    total = np.stack([np.bincount(owner, c, minlength=len(vertices)) for c in old_colours.T], axis=1)
    colours = total / np.maximum(count, 1)[:, None]
    orphan = count == 0
    if orphan.any():
        _, nearest = cKDTree(old).query(vertices[orphan])
        colours[orphan] = old_colours[nearest]
    return Surface(
        vertices=vertices, faces=np.asarray(faces, dtype=np.int64), colours=np.ascontiguousarray(colours, np.float32)
    )


def corner_normals(surface: Surface, *, crease_deg: float = CREASE_DEG) -> Float64:
    """Unit normals ``(F, 3, 3)`` per face corner, area-weighted over the faces around it within the crease angle."""
    position = same_position(surface.vertices)[surface.faces]
    corner = surface.vertices[surface.faces]
    weighted = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)

    # Every ordered pair of corners at one position, from corners sorted by position.
    flat = position.reshape(-1)
    order = np.argsort(flat, kind="stable")
    start = np.searchsorted(flat[order], flat[order])
    count = np.searchsorted(flat[order], flat[order], side="right") - start
    mine = np.repeat(np.arange(len(flat)), count)
    offset = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
    mine, other = order[mine], order[np.repeat(start, count) + offset]
    face_a, face_b = mine // 3, other // 3
    smooth = np.einsum("pi,pi->p", unit[face_a], unit[face_b]) >= np.cos(np.deg2rad(crease_deg))
    mine, face_b = mine[smooth], face_b[smooth]
    total = np.stack([np.bincount(mine, weighted[face_b, i], minlength=len(flat)) for i in range(3)], axis=1)
    normals = total / np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(normals.reshape(-1, 3, 3))


def to_mesh(surface: Surface, *, crease_deg: float = CREASE_DEG) -> Mesh:
    """A `Mesh` with normals; a vertex on a crease is split into one per smooth side."""
    normals = corner_normals(surface, crease_deg=crease_deg).reshape(-1, 3)
    key = np.column_stack([surface.faces.reshape(-1, 1), np.round(normals * 1024.0)]).astype(np.int64)
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    vertex = surface.faces.reshape(-1)[first]
    return make_mesh(
        surface.vertices[vertex],
        inverse.reshape(-1, 3),
        colours=surface.colours[vertex],
        normals=normals[first],
        uv=None if surface.uv is None else surface.uv[vertex],
        texture=surface.texture,
    )


def from_mesh(mesh: Mesh) -> Surface:
    """The `Surface` under a `Mesh`; its normals are dropped."""
    return Surface(
        vertices=mesh.vertices.astype(np.float64),
        faces=mesh.faces.astype(np.int64),
        colours=mesh.colours,
        uv=None if mesh.uv is None else mesh.uv.astype(np.float64),
        texture=mesh.texture,
    )
