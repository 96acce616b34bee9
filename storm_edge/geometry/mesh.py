"""The `Mesh` value: a triangle surface in metres with normals and colour. Reading files is `objects.mesh_io`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Triangles with per-vertex attributes; all arrays C-contiguous."""

    vertices: Float32
    """Positions [m], shape ``(V, 3)``."""
    faces: Int32
    """Vertex indices, counter-clockwise seen from outside, shape ``(F, 3)``."""
    normals: Float32
    """Unit vertex normals, shape ``(V, 3)``."""
    colours: Float32
    """Vertex colours, RGB in [0, 1], shape ``(V, 3)``; used where there is no texture."""
    uv: Float32 | None = None
    """Texture coordinates per vertex, v upwards (OpenGL), shape ``(V, 2)``."""
    texture: UInt8 | None = None
    """Texture image, RGB, row 0 on top, shape ``(H, W, 3)``; present exactly when ``uv`` is."""

    def bounds(self) -> tuple[Float32, Float32]:
        """Lowest and highest corner of the axis-aligned bounding box [m], each ``(3,)``."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)


def vertex_normals(vertices: Float32, faces: Int32) -> Float32:
    """Area-weighted unit vertex normals ``(V, 3)``; vertices without area get ``(0, 0, 1)``."""
    corners = vertices[faces].astype(np.float64)
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    flat = length[:, 0] < 1e-20
    normals[flat] = (0.0, 0.0, 1.0)
    length[flat] = 1.0
    return np.ascontiguousarray(normals / length, dtype=np.float32)


def make_mesh(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    *,
    colours: NDArray[np.floating] | None = None,
    normals: NDArray[np.floating] | None = None,
    uv: NDArray[np.floating] | None = None,
    texture: UInt8 | None = None,
) -> Mesh:
    """Build a `Mesh`, filling what is missing: area-weighted normals, mid-grey (128/255) colour."""
    v = np.ascontiguousarray(vertices, dtype=np.float32)
    f = np.ascontiguousarray(faces, dtype=np.int32)
    grey = np.full((len(v), 3), 128.0 / 255.0, dtype=np.float32)
    return Mesh(
        vertices=v,
        faces=f,
        normals=vertex_normals(v, f) if normals is None else np.ascontiguousarray(normals, dtype=np.float32),
        colours=grey if colours is None else np.ascontiguousarray(colours, dtype=np.float32),
        uv=None if uv is None else np.ascontiguousarray(uv, dtype=np.float32),
        texture=None if texture is None else np.ascontiguousarray(texture, dtype=np.uint8),
    )


def diameter(vertices: NDArray[np.floating]) -> float:
    """Largest distance between two vertices [m].

    Exact: the farthest pair lies on the convex hull, which is small; flat clouds fall back to all points in blocks.
    """
    from scipy.spatial import ConvexHull, QhullError

    points = np.asarray(vertices, dtype=np.float64)
    with contextlib.suppress(QhullError, ValueError):  # flat or fewer than four points: no hull in 3D
        points = points[ConvexHull(points).vertices]
    points = points - points.mean(
        axis=0
    )  # small numbers: |a - b|^2 = |a|^2 + |b|^2 - 2 a.b loses nothing that counts
    squared_norm = np.sum(points**2, axis=1)
    largest = 0.0
    for start in range(0, len(points), 512):
        block = slice(start, start + 512)
        squared = squared_norm[block, None] + squared_norm - 2.0 * (points[block] @ points.T)
        largest = max(largest, float(squared.max()))
    return float(np.sqrt(largest))
