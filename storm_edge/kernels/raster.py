"""Batched rasteriser: N poses of one mesh, each with its own K, to colour, depth, xyz and mask.

Three passes, one source for CPU and CUDA:

1. `project_vertices`: each vertex of each pose to ``(u, v, 1/z)`` and its brightness.
2. `cover_pixels`: each triangle of each pose claims the pixels whose centre it covers with one atomic maximum of a
   64-bit key, ``1/z`` in the upper half and the triangle in the lower. 1/z is affine on the screen, so no division
   is needed to compare depths, its float bits sort like the numbers since they are positive, and an empty pixel is
   plain 0. Equal depths go to the lower triangle index, so the picture never depends on the order of threads.
3. `shade_pixels`: each pixel looks up its triangle again and interpolates what is asked for, perspective-correct.

Rules: OpenCV camera, pixel centres on integers, no anti-aliasing, no culling (the depth test decides; upstream does
the same). A pixel on an edge belongs to both neighbours, so a closed surface has no holes. A triangle with a vertex
nearer than ``near_m``, or more than 2^20 px off the picture, is dropped whole, not clipped: objects are never there.
Colour follows reference-networks section 5.6. `storm_edge.kernels.reference.raster` says the same in plain NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from storm_edge.errors import InputError, mismatch
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.device import WpArray, thread_span
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.mesh_buffers import MeshBuffers

# fuse_fp off: two triangles must get exactly opposite edge values for their common edge, or pixels fall between them.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

NEAR_M = 0.001
GUARD_BAND_PX = wp.constant(float(1 << 20))  # in 1/16 px this still fits an int32 exactly representable as float
_LOW_32_BITS = wp.constant(wp.uint32(0xFFFFFFFF))


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


@dataclass(frozen=True, kw_only=True)
class RenderResult:
    """Pictures of `render`, background 0 everywhere."""

    colour: NDArray[np.float32]
    """RGB in [0, 1], shape ``(N, H, W, 3)``."""
    depth: NDArray[np.float32]
    """z-depth [m], shape ``(N, H, W)``."""
    xyz: NDArray[np.float32]
    """Surface points [m], camera frame, shape ``(N, H, W, 3)``."""
    mask: NDArray[np.uint8]
    """1 where the mesh is seen, shape ``(N, H, W)``."""


@wp.struct
class Surface:
    """What the camera sees through one pixel."""

    point: wp.vec3f
    colour: wp.vec3f


@wp.func
def edge(a: wp.vec4f, b: wp.vec4f, u: float, v: float) -> float:
    """Twice the signed area of (a, b, pixel); exactly ``-edge(b, a)``."""
    return (a[0] - u) * (b[1] - v) - (a[1] - v) * (b[0] - u)


@wp.func
def lowest(a: float, b: float, c: float) -> float:
    """Of three numbers; without the NaN rules of wp.min, which cost branches."""
    ab = wp.where(a < b, a, b)
    return wp.where(ab < c, ab, c)


@wp.func
def highest(a: float, b: float, c: float) -> float:
    """Of three numbers; see `lowest`."""
    ab = wp.where(a > b, a, b)
    return wp.where(ab > c, ab, c)


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
    faces: wp.array(dtype=wp.vec3i),
    colours: wp.array(dtype=wp.vec3f),
    uv: wp.array(dtype=wp.vec2f),
    texture: wp.array2d(dtype=wp.vec3f),
    has_texture: bool,
) -> Surface:
    """Point and lit colour of the triangle that won pixel (u, v) of pose n; ``key`` is not 0."""
    face = faces[int(_LOW_32_BITS - wp.uint32(key))]
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
    if has_texture:
        base = sample_texture(texture, uv[face[0]] * wa + uv[face[1]] * wb + uv[face[2]] * wc)
    else:
        base = colours[face[0]] * wa + colours[face[1]] * wb + colours[face[2]] * wc
    lit = base * (wa * a[3] + wb * b[3] + wc * c[3])

    z = 1.0 / wp.cast(wp.uint32(key >> wp.uint64(32)), wp.float32)
    y = (v - K[1, 2]) / K[1, 1]
    x = (u - K[0, 2] - K[0, 1] * y) / K[0, 0]
    surface = Surface()
    surface.point = wp.vec3f(x * z, y * z, z)
    surface.colour = wp.vec3f(wp.clamp(lit[0], 0.0, 1.0), wp.clamp(lit[1], 0.0, 1.0), wp.clamp(lit[2], 0.0, 1.0))
    return surface


@wp.func
def project_span(
    n: int,
    first: int,
    end: int,
    T_cam_obj: wp.array(dtype=wp.mat44f),
    K: wp.array(dtype=wp.mat33f),
    lights: wp.array(dtype=wp.vec4f),
    vertices: wp.array(dtype=wp.vec3f),
    normals: wp.array(dtype=wp.vec3f),
    near_m: float,
    screen: wp.array2d(dtype=wp.vec4f),
):
    """(u, v, 1/z, brightness) of some vertices; 1/z = 0 marks one too near, or too far out for exact edges."""
    T = T_cam_obj[n]
    k = K[n]
    light = lights[n]
    # The light in the object frame saves turning every normal.
    to_light = wp.vec3f(
        T[0, 0] * light[0] + T[1, 0] * light[1] + T[2, 0] * light[2],
        T[0, 1] * light[0] + T[1, 1] * light[1] + T[2, 1] * light[2],
        T[0, 2] * light[0] + T[1, 2] * light[1] + T[2, 2] * light[2],
    )
    for i in range(first, wp.min(end, vertices.shape[0])):
        p = wp.transform_point(T, vertices[i])
        brightness = light[3] + wp.max(wp.dot(normals[i], to_light), 0.0)
        w = 1.0 / wp.max(p[2], near_m)
        y = p[1] * w
        u = k[0, 0] * p[0] * w + k[0, 1] * y + k[0, 2]
        v = k[1, 1] * y + k[1, 2]
        if p[2] > near_m and wp.abs(u) < GUARD_BAND_PX and wp.abs(v) < GUARD_BAND_PX:
            screen[n, i] = wp.vec4f(u, v, w, brightness)
        else:
            screen[n, i] = wp.vec4f(0.0, 0.0, 0.0, 0.0)


@wp.kernel
def project_vertices(
    T_cam_obj: wp.array(dtype=wp.mat44f),
    K: wp.array(dtype=wp.mat33f),
    lights: wp.array(dtype=wp.vec4f),
    vertices: wp.array(dtype=wp.vec3f),
    normals: wp.array(dtype=wp.vec3f),
    near_m: float,
    span: int,
    screen: wp.array2d(dtype=wp.vec4f),
):
    """`project_span`, one thread per pose and span."""
    n, chunk = wp.tid()
    project_span(n, chunk * span, (chunk + 1) * span, T_cam_obj, K, lights, vertices, normals, near_m, screen)


@wp.func
def cover_span(
    n: int,
    first: int,
    end: int,
    screen: wp.array2d(dtype=wp.vec4f),
    faces: wp.array(dtype=wp.vec3i),
    keys: wp.array3d(dtype=wp.uint64),
):
    """Let some triangles claim the pixels they cover; ``keys`` starts as 0 and holds the nearest claim.

    A triangle of a model at crop size covers about one pixel, so on a CPU a mispredicted branch costs more than the
    arithmetic it saves. Hence integer bounds, one loop instead of two, and a claim of 0 where nothing is covered.
    """
    last_row = keys.shape[1] - 1
    last_column = keys.shape[2] - 1
    for f in range(first, wp.min(end, faces.shape[0])):
        face = faces[f]
        a = screen[n, face[0]]
        b = screen[n, face[1]]
        c = screen[n, face[2]]
        # Bounds in 1/16 px, widened by one for the truncation: never too small, rarely a pixel too large.
        au = int(a[0] * 16.0)
        bu = int(b[0] * 16.0)
        cu = int(c[0] * 16.0)
        av = int(a[1] * 16.0)
        bv = int(b[1] * 16.0)
        cv = int(c[1] * 16.0)
        first_column = wp.max((wp.min(wp.min(au, bu), cu) + 14) >> 4, 0)
        end_column = wp.min((wp.max(wp.max(au, bu), cu) + 1) >> 4, last_column)
        row = wp.max((wp.min(wp.min(av, bv), cv) + 14) >> 4, 0)
        end_row = wp.min((wp.max(wp.max(av, bv), cv) + 1) >> 4, last_row)
        if first_column <= end_column and row <= end_row and a[2] * b[2] * c[2] > 0.0:
            claim = wp.uint64(_LOW_32_BITS - wp.uint32(f))
            column = int(first_column)
            while row <= end_row:
                u = float(column)
                v = float(row)
                wa = edge(b, c, u, v)
                wb = edge(c, a, u, v)
                wc = edge(a, b, u, v)
                total = wa + wb + wc
                # Inside when all are of one sign, either: both windings are drawn.
                positive = wp.where(lowest(wa, wb, wc) >= 0.0, total, 0.0)
                negative = wp.where(highest(wa, wb, wc) <= 0.0, total, 0.0)
                inverse_depth = (wa * a[2] + wb * b[2] + wc * c[2]) / total
                bits = wp.uint64(wp.cast(inverse_depth, wp.uint32))
                key = wp.where(positive - negative > 0.0, (bits << wp.uint64(32)) | claim, wp.uint64(0))
                wp.atomic_max(keys, n, row, column, key)
                at_end = column == end_column
                column = wp.where(at_end, first_column, column + 1)
                row = wp.where(at_end, row + 1, row)


@wp.kernel
def cover_pixels(
    screen: wp.array2d(dtype=wp.vec4f),
    faces: wp.array(dtype=wp.vec3i),
    span: int,
    keys: wp.array3d(dtype=wp.uint64),
):
    """`cover_span`, one thread per pose and span."""
    n, chunk = wp.tid()
    cover_span(n, chunk * span, (chunk + 1) * span, screen, faces, keys)


@wp.kernel
def shade_pixels(
    keys: wp.array3d(dtype=wp.uint64),
    K: wp.array(dtype=wp.mat33f),
    screen: wp.array2d(dtype=wp.vec4f),
    faces: wp.array(dtype=wp.vec3i),
    colours: wp.array(dtype=wp.vec3f),
    uv: wp.array(dtype=wp.vec2f),
    texture: wp.array2d(dtype=wp.vec3f),
    has_texture: bool,
    span: int,
    colour: wp.array3d(dtype=wp.vec3f),
    depth: wp.array3d(dtype=wp.float32),
    xyz: wp.array3d(dtype=wp.vec3f),
    mask: wp.array3d(dtype=wp.uint8),
):
    """Write every pixel's colour, depth, point and mask; 0 where no triangle claimed it."""
    n, row, chunk = wp.tid()
    k = K[n]
    for column in range(chunk * span, wp.min((chunk + 1) * span, keys.shape[2])):
        key = keys[n, row, column]
        surface = Surface()
        seen = wp.uint8(0)
        if key != wp.uint64(0):
            surface = surface_at(
                key, float(column), float(row), n, k, screen, faces, colours, uv, texture, has_texture
            )
            seen = wp.uint8(1)
        colour[n, row, column] = surface.colour
        depth[n, row, column] = surface.point[2]
        xyz[n, row, column] = surface.point
        mask[n, row, column] = seen


class Visibility:
    """Passes 1 and 2: which triangle each pixel of each pose sees.

    Buffers are allocated here, `launch` only launches.

    Attributes:
        screen: ``(u, v, 1/z, brightness)`` of every vertex, ``(batch, V)`` vec4f.
        keys: Winning claim of every pixel, ``(batch, H, W)`` uint64, 0 = background.
    """

    def __init__(self, mesh: MeshBuffers, *, batch: int, size_px: tuple[int, int], near_m: float = NEAR_M) -> None:
        height, width = size_px
        if batch < 1 or height < 1 or width < 1:
            raise InputError(
                mismatch("renderer", f"batch {batch} of {height}x{width} px", "all at least 1", "ask for a picture")
            )
        self.mesh = mesh
        self.batch = batch
        self.near_m = near_m
        self.screen: WpArray = wp.empty((batch, mesh.vertex_count), dtype=wp.vec4f, device=mesh.device)
        self.keys: WpArray = wp.empty((batch, height, width), dtype=wp.uint64, device=mesh.device)
        self._vertex_span = thread_span(mesh.device, mesh.vertex_count)
        self._face_span = thread_span(mesh.device, mesh.face_count)
        self._launch_cache = LaunchCache(mesh.device)

    def launch(self, T_cam_obj: WpArray, K: WpArray, lights: WpArray, count: int) -> None:
        """Fill ``screen`` and ``keys`` of the first ``count`` poses.

        Args:
            T_cam_obj: Object to camera [m], ``(batch,)`` mat44f.
            K: Intrinsics [px], ``(batch,)`` mat33f.
            lights: `Lighting.packed`, ``(batch,)`` vec4f.
            count: Poses to do.
        """
        mesh = self.mesh
        self.keys.zero_()
        self._launch_cache.launch(
            project_vertices,
            (count, -(-mesh.vertex_count // self._vertex_span)),
            [T_cam_obj, K, lights, mesh.vertices, mesh.normals, self.near_m, self._vertex_span, self.screen],
        )
        self._launch_cache.launch(
            cover_pixels,
            (count, -(-mesh.face_count // self._face_span)),
            [self.screen, mesh.faces, self._face_span, self.keys],
        )


class Renderer:
    """Renders up to ``batch`` poses of one mesh per launch; buffers are allocated here, `launch` only launches.

    Args:
        mesh: The object; its device is the renderer's.
        batch: Most poses per launch.
        size_px: Side of a square picture, or (height, width) [px].
        lighting: Light of every pose until `set_lighting`.
        near_m: Triangles with a vertex nearer than this are dropped [m].

    Attributes:
        colour: RGB in [0, 1], ``(batch, H, W, 3)`` float32.
        depth: z-depth [m], ``(batch, H, W)`` float32, 0 = background.
        xyz: Camera-frame points [m], ``(batch, H, W, 3)`` float32, 0 = background.
        mask: 1 where the mesh is seen, ``(batch, H, W)`` uint8.
    """

    def __init__(
        self,
        mesh: MeshBuffers,
        *,
        batch: int,
        size_px: int | tuple[int, int],
        lighting: Lighting | None = None,
        near_m: float = NEAR_M,
    ) -> None:
        size = (size_px, size_px) if isinstance(size_px, int) else size_px
        self.mesh = mesh
        self.batch = batch
        self.size_px = size
        self.visibility = Visibility(mesh, batch=batch, size_px=size, near_m=near_m)
        self._column_span = thread_span(mesh.device, size[1])
        self._launch_cache = LaunchCache(mesh.device)
        shape, device = (batch, *size), mesh.device
        self.lights: WpArray = wp.empty(batch, dtype=wp.vec4f, device=device)
        self._colour: WpArray = wp.empty(shape, dtype=wp.vec3f, device=device)
        self._xyz: WpArray = wp.empty(shape, dtype=wp.vec3f, device=device)
        self.depth: WpArray = wp.empty(shape, dtype=wp.float32, device=device)
        self.mask: WpArray = wp.empty(shape, dtype=wp.uint8, device=device)
        # The same memory seen as (..., 3) floats, as networks and NumPy want it.
        self.colour: WpArray = self._colour.view(wp.float32)
        self.xyz: WpArray = self._xyz.view(wp.float32)
        self.set_lighting(lighting or Lighting())

    def set_lighting(self, lighting: Lighting | Sequence[Lighting]) -> None:
        """One light for all poses, or one per pose (``batch`` of them)."""
        lights = [lighting] * self.batch if isinstance(lighting, Lighting) else list(lighting)
        if len(lights) != self.batch:
            raise InputError(
                mismatch("lighting", f"{len(lights)} lights", f"{self.batch}", "give one light per pose")
            )
        self.lights.assign(np.array([light.packed() for light in lights], dtype=np.float32))

    def launch(self, T_cam_obj: WpArray, K: WpArray, count: int | None = None) -> None:
        """Render the first ``count`` poses (all when None). Enqueues only; synchronise before reading on CUDA.

        Args:
            T_cam_obj: Object to camera [m], ``(batch,)`` mat44f.
            K: Intrinsics [px] of each picture, ``(batch,)`` mat33f; a crop is rendered by giving its K.
            count: Poses to render, at most ``batch``; later pictures keep what they had.
        """
        count = self.batch if count is None else count
        if not 0 < count <= self.batch:
            raise InputError(mismatch("render count", count, f"1..{self.batch}", "make the renderer's batch larger"))
        self.visibility.launch(T_cam_obj, K, self.lights, count)
        mesh, (height, width) = self.mesh, self.size_px
        self._launch_cache.launch(
            shade_pixels,
            (count, height, -(-width // self._column_span)),
            [
                self.visibility.keys,
                K,
                self.visibility.screen,
                mesh.faces,
                mesh.colours,
                mesh.uv,
                mesh.texture,
                mesh.has_texture,
                self._column_span,
                self._colour,
                self.depth,
                self._xyz,
                self.mask,
            ],
        )


def render(
    mesh: Mesh | MeshBuffers,
    T_cam_obj: ArrayLike,
    K: ArrayLike,
    size_px: int | tuple[int, int],
    *,
    lighting: Lighting | Sequence[Lighting] | None = None,
    device: str = "cpu",
) -> RenderResult:
    """Render once, NumPy in and out. For pictures, data and tests; loops keep a `Renderer`.

    Args:
        mesh: A mesh, or one already on a device (then ``device`` is not read).
        T_cam_obj: Object to camera [m], ``(N, 4, 4)`` or ``(4, 4)``.
        K: Intrinsics [px], ``(3, 3)`` or ``(N, 3, 3)``.
        size_px: Side of a square picture, or (height, width) [px].
        lighting: One light, or one per pose; upstream's headlight when None.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
    """
    buffers = mesh if isinstance(mesh, MeshBuffers) else MeshBuffers.from_mesh(mesh, device)
    T = np.asarray(T_cam_obj, dtype=np.float32).reshape(-1, 4, 4)
    K_each = np.ascontiguousarray(np.broadcast_to(np.asarray(K, dtype=np.float32), (len(T), 3, 3)))
    renderer = Renderer(buffers, batch=len(T), size_px=size_px)
    if lighting is not None:
        renderer.set_lighting(lighting)
    renderer.launch(
        wp.array(T, dtype=wp.mat44f, device=buffers.device), wp.array(K_each, dtype=wp.mat33f, device=buffers.device)
    )
    # .numpy() of a CPU array is a view that lives as long as the warp array; a copy outlives the renderer.
    return RenderResult(
        colour=renderer.colour.numpy().copy(),
        depth=renderer.depth.numpy().copy(),
        xyz=renderer.xyz.numpy().copy(),
        mask=renderer.mask.numpy().copy(),
    )
