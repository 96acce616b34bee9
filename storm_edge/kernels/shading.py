"""Shading: colour and point of what each pixel sees, interpolated with perspective and lit.

The third pass of the rasteriser (see `storm_edge.kernels.raster`): each pixel reads the triangle that won it.
Colour follows reference-networks section 5.6. `network_input` and `fused.judge` use `surface_at` as well.
"""

from dataclasses import dataclass

import numpy as np
import warp as wp

from storm_edge.kernels.mesh_buffers import MeshArrays
from storm_edge.kernels.raster import LOW_32_BITS, edge

# fuse_fp as in `raster`, so that weights are those the pixel was won with.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """One distant light and an ambient part: ``colour * (ambient + diffuse * max(n . to_light, 0))``, clipped."""

    ambient: float = 0.8
    """Share of the colour seen without light."""
    diffuse: float = 0.5
    """Share added where the surface faces the light."""
    to_light: tuple[float, float, float] = (0.0, 0.0, -1.0)
    """Direction from the surface towards the light, camera frame; the default is a lamp on the camera (upstream)."""

    def packed(self) -> tuple[float, float, float, float]:
        """``(diffuse * unit to_light, ambient)``, the form the kernels read."""
        direction = np.asarray(self.to_light, dtype=np.float64)
        x, y, z = direction * (self.diffuse / np.linalg.norm(direction))
        return float(x), float(y), float(z), self.ambient


@wp.struct
class Surface:
    """What the camera sees through one pixel."""

    point: wp.vec3f
    colour: wp.vec3f


@wp.struct
class Images:
    """What `shade_pixels` writes, for N poses."""

    colour: wp.array3d(dtype=wp.vec3f)
    depth: wp.array3d(dtype=wp.float32)
    xyz: wp.array3d(dtype=wp.vec3f)
    mask: wp.array3d(dtype=wp.uint8)


@wp.func
def sample_texture(texture: wp.array2d(dtype=wp.vec3f), uv: wp.vec2f) -> wp.vec3f:
    """Bilinear, wrapped, v upwards; texel centres at (i + 0.5) / size like OpenGL."""
    height = texture.shape[0]
    width = texture.shape[1]
    s = (uv[0] - wp.floor(uv[0])) * float(width) - 0.5
    t = (1.0 - uv[1] - wp.floor(1.0 - uv[1])) * float(height) - 0.5
    s0 = int(wp.floor(s))
    t0 = int(wp.floor(t))
    fs = s - float(s0)
    ft = t - float(t0)
    x0 = (s0 + width) % width
    x1 = (s0 + 1) % width
    y0 = (t0 + height) % height
    y1 = (t0 + 1) % height
    top = texture[y0, x0] * (1.0 - fs) + texture[y0, x1] * fs
    bottom = texture[y1, x0] * (1.0 - fs) + texture[y1, x1] * fs
    return top * (1.0 - ft) + bottom * ft


@wp.func
def surface_at(
    key: wp.uint64,
    u: float,
    v: float,
    n: int,
    K: wp.mat33f,
    screen: wp.array2d(dtype=wp.vec4f),
    mesh: MeshArrays,
) -> Surface:
    """Point and lit colour of the triangle that won pixel (u, v) of pose n; ``key`` is not 0."""
    face = mesh.faces[int(LOW_32_BITS - wp.uint32(key))]
    a = screen[n, face[0]]
    b = screen[n, face[1]]
    c = screen[n, face[2]]
    wa = edge(b, c, u, v) * a[2]  # times 1/z: weights that are affine on the surface, not on the screen
    wb = edge(c, a, u, v) * b[2]
    wc = edge(a, b, u, v) * c[2]
    inverse_sum = 1.0 / (wa + wb + wc)
    wa = wa * inverse_sum
    wb = wb * inverse_sum
    wc = wc * inverse_sum
    base = wp.vec3f()
    if mesh.has_texture != 0:
        base = sample_texture(mesh.texture, mesh.uv[face[0]] * wa + mesh.uv[face[1]] * wb + mesh.uv[face[2]] * wc)
    else:
        base = mesh.colours[face[0]] * wa + mesh.colours[face[1]] * wb + mesh.colours[face[2]] * wc
    lit = base * (wa * a[3] + wb * b[3] + wc * c[3])

    z = 1.0 / wp.cast(wp.uint32(key >> wp.uint64(32)), wp.float32)
    y = (v - K[1, 2]) / K[1, 1]
    x = (u - K[0, 2] - K[0, 1] * y) / K[0, 0]
    surface = Surface()
    surface.point = wp.vec3f(x * z, y * z, z)
    surface.colour = wp.vec3f(wp.clamp(lit[0], 0.0, 1.0), wp.clamp(lit[1], 0.0, 1.0), wp.clamp(lit[2], 0.0, 1.0))
    return surface


@wp.kernel
def shade_pixels(
    keys: wp.array3d(dtype=wp.uint64),
    K: wp.array(dtype=wp.mat33f),
    screen: wp.array2d(dtype=wp.vec4f),
    mesh: MeshArrays,
    span: int,
    first_row: int,
    first_column: int,
    end_column: int,
    images: Images,
):
    """Write colour, depth, point and mask of the pixels of a window; 0 where no triangle claimed one.

    Args:
        keys: Claims of `kernels.raster`.
        K: Intrinsics of each pose [px].
        screen: Its projected vertices.
        mesh: The mesh.
        span: Columns per thread.
        first_row: Of the window; it has as many as there are threads.
        first_column: Of the window.
        end_column: The column after its last.
        images: Output.
    """
    n, i, chunk = wp.tid()
    row = first_row + i
    first = first_column + chunk * span
    k = K[n]
    for column in range(first, wp.min(first + span, end_column)):
        key = keys[n, row, column]
        surface = Surface()
        seen = wp.uint8(0)
        if key != wp.uint64(0):
            surface = surface_at(key, float(column), float(row), n, k, screen, mesh)
            seen = wp.uint8(1)
        images.colour[n, row, column] = surface.colour
        images.depth[n, row, column] = surface.point[2]
        images.xyz[n, row, column] = surface.point
        images.mask[n, row, column] = seen
