"""Batched rasteriser: which triangle of a mesh each pixel sees, for N poses, each with its own K.

The first two of three passes, one source for CPU and CUDA; `storm_edge.kernels.shading` is the third, and
`storm_edge.kernels.renderer` runs all of them.

1. `project_vertices`: each vertex of each pose to ``(u, v, 1/z)`` and its brightness.
2. `cover_pixels`: each triangle of each pose claims the pixels whose centre it covers with one atomic maximum of a
   64-bit key, ``1/z`` in the upper half and the triangle in the lower. 1/z is affine on the screen, so no division
   is needed to compare depths, its float bits sort like the numbers since they are positive, and an empty pixel is
   plain 0. Equal depths go to the lower triangle index, so the image never depends on the order of threads.

Rules: OpenCV camera, pixel centres on integers, no anti-aliasing, no culling (the depth test decides; upstream does
the same). A pixel on an edge belongs to both neighbours, so a closed surface has no holes. A triangle with a vertex
nearer than `NEAR_M`, or more than 2^20 px off the image, is dropped whole, not clipped: objects are never there.
`storm_edge.kernels.reference.raster` does all three passes in plain NumPy.
"""

import warp as wp

from storm_edge.errors import InputError, mismatch
from storm_edge.kernels.device import WpArray, thread_span
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.mesh_buffers import MeshArrays, MeshBuffers

# fuse_fp off: two triangles must get exactly opposite edge values for their common edge, or pixels fall between them.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

NEAR_M = 0.001
"""Triangles with a vertex nearer than this are dropped [m]."""
GUARD_BAND_PX = wp.constant(float(1 << 20))  # in 1/16 px this still fits an int32 exactly representable as float
LOW_32_BITS = wp.constant(wp.uint32(0xFFFFFFFF))


@wp.struct
class View:
    """How one pose is seen."""

    T_cam_obj: wp.mat44f
    K: wp.mat33f
    light: wp.vec4f


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
def project_span(
    n: int,
    first: int,
    end: int,
    view: View,
    mesh: MeshArrays,
    screen: wp.array2d(dtype=wp.vec4f),
):
    """(u, v, 1/z, brightness) of some vertices; 1/z = 0 marks one too near, or too far out for exact edges."""
    T = view.T_cam_obj
    k = view.K
    light = view.light
    # The light in the object frame saves turning every normal.
    to_light = wp.vec3f(
        T[0, 0] * light[0] + T[1, 0] * light[1] + T[2, 0] * light[2],
        T[0, 1] * light[0] + T[1, 1] * light[1] + T[2, 1] * light[2],
        T[0, 2] * light[0] + T[1, 2] * light[1] + T[2, 2] * light[2],
    )
    for i in range(first, wp.min(end, mesh.vertices.shape[0])):
        p = wp.transform_point(T, mesh.vertices[i])
        brightness = light[3] + wp.max(wp.dot(mesh.normals[i], to_light), 0.0)
        w = 1.0 / wp.max(p[2], wp.static(NEAR_M))
        y = p[1] * w
        u = k[0, 0] * p[0] * w + k[0, 1] * y + k[0, 2]
        v = k[1, 1] * y + k[1, 2]
        if p[2] > wp.static(NEAR_M) and wp.abs(u) < GUARD_BAND_PX and wp.abs(v) < GUARD_BAND_PX:
            screen[n, i] = wp.vec4f(u, v, w, brightness)
        else:
            screen[n, i] = wp.vec4f(0.0, 0.0, 0.0, 0.0)


@wp.kernel
def project_vertices(
    T_cam_obj: wp.array(dtype=wp.mat44f),
    K: wp.array(dtype=wp.mat33f),
    lights: wp.array(dtype=wp.vec4f),
    mesh: MeshArrays,
    span: int,
    screen: wp.array2d(dtype=wp.vec4f),
):
    """`project_span`, one thread per pose and span."""
    n, chunk = wp.tid()
    view = View()
    view.T_cam_obj = T_cam_obj[n]
    view.K = K[n]
    view.light = lights[n]
    project_span(n, chunk * span, (chunk + 1) * span, view, mesh, screen)


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
            claim = wp.uint64(LOW_32_BITS - wp.uint32(f))
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


class Visibility:
    """Projection and coverage: which triangle each pixel of each pose sees.

    Buffers are allocated here, `launch` only launches.

    Attributes:
        screen: ``(u, v, 1/z, brightness)`` of every vertex, ``(batch, V)`` vec4f.
        keys: Winning claim of every pixel, ``(batch, H, W)`` uint64, 0 = background.
    """

    def __init__(self, mesh: MeshBuffers, *, batch: int, size_px: tuple[int, int]) -> None:
        height, width = size_px
        if batch < 1 or height < 1 or width < 1:
            raise InputError(
                mismatch(
                    "renderer",
                    f"batch {batch} of {height}x{width} px",
                    "all at least 1",
                    "ask for one pixel or more",
                )
            )
        self.mesh = mesh
        self.batch = batch
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
            [T_cam_obj, K, lights, mesh.arrays, self._vertex_span, self.screen],
        )
        self._launch_cache.launch(
            cover_pixels,
            (count, -(-mesh.face_count // self._face_span)),
            [self.screen, mesh.faces, self._face_span, self.keys],
        )
