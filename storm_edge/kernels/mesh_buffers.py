"""A mesh in device memory, uploaded once and shared by every renderer of the object."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import warp as wp

from storm_edge.errors import MeshError, mismatch
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.device import Device, WpArray, require_device


@wp.struct
class MeshArrays:
    """The arrays of a `MeshBuffers` as one argument of a kernel."""

    vertices: wp.array(dtype=wp.vec3f)
    normals: wp.array(dtype=wp.vec3f)
    colours: wp.array(dtype=wp.vec3f)
    faces: wp.array(dtype=wp.vec3i)
    uv: wp.array(dtype=wp.vec2f)
    texture: wp.array2d(dtype=wp.vec3f)
    has_texture: int


@dataclass(frozen=True, kw_only=True)
class MeshBuffers:
    """Warp arrays of one `Mesh`. A mesh without texture carries a 1x1 white one and `has_texture` is false."""

    vertices: WpArray
    """Positions [m], ``(V,)`` vec3f."""
    normals: WpArray
    """Unit vertex normals, ``(V,)`` vec3f."""
    colours: WpArray
    """Vertex colours in [0, 1], ``(V,)`` vec3f."""
    faces: WpArray
    """Vertex indices, ``(F,)`` vec3i."""
    uv: WpArray
    """Texture coordinates, v upwards, ``(V,)`` vec2f."""
    texture: WpArray
    """Texture in [0, 1], row 0 on top, ``(H, W)`` vec3f."""
    has_texture: bool
    """Whether colour comes from the texture or from the vertices."""
    device: Device
    """Where the arrays are."""

    @cached_property
    def arrays(self) -> Any:
        """All of it as a `MeshArrays`; made once, so that recorded launches find it again."""
        arrays: Any = MeshArrays()
        arrays.vertices, arrays.normals, arrays.colours = self.vertices, self.normals, self.colours
        arrays.faces, arrays.uv, arrays.texture = self.faces, self.uv, self.texture
        arrays.has_texture = int(self.has_texture)
        return arrays

    @property
    def vertex_count(self) -> int:
        """Number of vertices."""
        return int(self.vertices.shape[0])

    @property
    def face_count(self) -> int:
        """Number of triangles."""
        return int(self.faces.shape[0])

    @classmethod
    def from_mesh(cls, mesh: Mesh, device: str | Device = "cpu") -> "MeshBuffers":
        """Upload ``mesh`` to a device given by name or as a Warp device.

        Raises:
            BackendError: The device is not here.
            MeshError: A face points to a vertex that does not exist, or there is no face.
        """
        target = require_device(device) if isinstance(device, str) else device
        vertex_count = len(mesh.vertices)
        if len(mesh.faces) == 0:
            raise MeshError(
                mismatch("mesh faces", "none", "at least one triangle", "load a surface, not a point cloud")
            )
        if mesh.faces.min() < 0 or mesh.faces.max() >= vertex_count:
            # Kernels index without a check, so this is the last place that can say it kindly.
            span = f"indices {mesh.faces.min()}..{mesh.faces.max()}"
            raise MeshError(mismatch("mesh faces", span, f"0..{vertex_count - 1}", "repair or re-export the model"))
        has_texture = mesh.uv is not None and mesh.texture is not None
        uv = mesh.uv if mesh.uv is not None else np.zeros((vertex_count, 2), np.float32)
        texture = mesh.texture if mesh.texture is not None else np.full((1, 1, 3), 255, np.uint8)
        return cls(
            vertices=wp.array(mesh.vertices, dtype=wp.vec3f, device=target),
            normals=wp.array(mesh.normals, dtype=wp.vec3f, device=target),
            colours=wp.array(mesh.colours, dtype=wp.vec3f, device=target),
            faces=wp.array(mesh.faces, dtype=wp.vec3i, device=target),
            uv=wp.array(uv, dtype=wp.vec2f, device=target),
            texture=wp.array(texture.astype(np.float32) / np.float32(255.0), dtype=wp.vec3f, device=target),
            has_texture=has_texture,
            device=target,
        )
