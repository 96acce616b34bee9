"""Which triangle of which object each pixel sees: many meshes of a pool into many pictures at once.

The passes of `storm_edge.kernels.raster` for draws of a pool: a draw is one mesh slot at one pose, and ``per_image``
of them in a row share a picture. A pixel's key has 1/z in the upper 32 bits; below stand the draw's place within its
picture and the triangle, inverted, so that equal depths go to the lower place and then to the lower triangle
whatever the order of threads. `storm_edge.generator.shading` reads the keys.

With the same triangles the object's own silhouette is drawn into a window by itself, where nothing hides it and the
picture does not end. An object larger than the window is sampled in every second, third, ... pixel there.
"""

import warp as wp

from storm_edge.kernels.mesh_buffers import MeshArrays
from storm_edge.kernels.raster import LOW_32_BITS, View, edge, highest, lowest, project_span

# fuse_fp as in `kernels.raster`, whose functions are called: neighbours must agree on their common edge.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

FACE_BITS = wp.constant(wp.uint32(20))
"""Bits of a key for the triangle; the twelve above are for the place."""
FACE_MASK = wp.constant(wp.uint32((1 << 20) - 1))
WINDOW_PX = 256
"""Side of the window that a silhouette is drawn into [px]."""
FAR_OUT_PX = wp.constant(1 << 20)


@wp.struct
class PoolArrays:
    """Mesh slots as kernels read them; `storm_edge.generator.mesh_pool.MeshPool` owns the memory."""

    vertices: wp.array2d(dtype=wp.vec3f)
    normals: wp.array2d(dtype=wp.vec3f)
    colours: wp.array2d(dtype=wp.vec3f)
    faces: wp.array2d(dtype=wp.vec3i)
    vertex_count: wp.array(dtype=wp.int32)
    face_count: wp.array(dtype=wp.int32)
    gloss: wp.array(dtype=wp.vec2f)


@wp.struct
class Draws:
    """What is drawn where: ``slot`` -1 draws nothing, ``K`` is of each picture, draws at places below
    ``with_silhouette`` have a silhouette window."""

    slot: wp.array(dtype=wp.int32)
    T_cam_obj: wp.array(dtype=wp.mat44f)
    K: wp.array(dtype=wp.mat33f)
    per_image: int
    with_silhouette: int


@wp.func
def mesh_of(pool: PoolArrays, slot: int) -> MeshArrays:
    """One slot as the kernels of single meshes read it."""
    mesh = MeshArrays()
    mesh.vertices = pool.vertices[slot]
    mesh.normals = pool.normals[slot]
    mesh.colours = pool.colours[slot]
    mesh.faces = pool.faces[slot]
    mesh.has_texture = 0
    return mesh


@wp.kernel
def project_draws(
    pool: PoolArrays,
    draws: Draws,
    light: wp.vec4f,
    span: int,
    screen: wp.array2d(dtype=wp.vec4f),
    bounds: wp.array(dtype=wp.vec4i),
):
    """Vertices to ``(u, v, 1/z, brightness)``, and the box around each draw with a silhouette.

    ``bounds`` is ``(u0, v0, -u1, -v1)`` [px], all four minima; it starts as `FAR_OUT_PX`.
    """
    d, chunk = wp.tid()
    slot = draws.slot[d]
    if slot < 0:
        return
    view = View()
    view.T_cam_obj = draws.T_cam_obj[d]
    view.K = draws.K[d // draws.per_image]
    view.light = light
    first = chunk * span
    end = wp.min(first + span, pool.vertex_count[slot])
    project_span(d, first, end, view, mesh_of(pool, slot), screen)
    if d % draws.per_image >= draws.with_silhouette:
        return
    box = wp.vec4i(FAR_OUT_PX, FAR_OUT_PX, FAR_OUT_PX, FAR_OUT_PX)
    for i in range(first, end):
        p = screen[d, i]
        if p[2] > 0.0:
            u = int(wp.floor(p[0]))
            v = int(wp.floor(p[1]))
            box = wp.min(box, wp.vec4i(u, v, -u - 1, -v - 1))
    if end > first:
        wp.atomic_min(bounds, d, box)


@wp.func
def stride_of(box: wp.vec4i) -> int:
    """Pixels between the samples of a silhouette window, 1 for what fits into it."""
    side = wp.max(-box[2] - box[0], -box[3] - box[1]) + 1
    return wp.max((side + wp.static(WINDOW_PX - 1)) // wp.static(WINDOW_PX), 1)


@wp.func
def claim_of(a: wp.vec4f, b: wp.vec4f, c: wp.vec4f, u: float, v: float, claim: wp.uint64) -> wp.uint64:
    """Key of a triangle at a pixel, 0 where it does not cover it; without a branch, as `kernels.raster` has it."""
    wa = edge(b, c, u, v)
    wb = edge(c, a, u, v)
    wc = edge(a, b, u, v)
    total = wa + wb + wc
    positive = wp.where(lowest(wa, wb, wc) >= 0.0, total, 0.0)
    negative = wp.where(highest(wa, wb, wc) <= 0.0, total, 0.0)
    inverse_depth = (wa * a[2] + wb * b[2] + wc * c[2]) / total
    key = (wp.uint64(wp.cast(inverse_depth, wp.uint32)) << wp.uint64(32)) | claim
    return wp.where(positive - negative > 0.0, key, wp.uint64(0))


@wp.kernel
def cover_draws(
    pool: PoolArrays,
    draws: Draws,
    screen: wp.array2d(dtype=wp.vec4f),
    span: int,
    keys: wp.array3d(dtype=wp.uint64),
):
    """Let triangles claim the pixels of their picture; ``keys`` starts as 0.

    The loops are those of `kernels.raster.cover_span`, with the same reasons.
    """
    d, chunk = wp.tid()
    slot = draws.slot[d]
    if slot < 0:
        return
    image = d // draws.per_image
    last_row = keys.shape[1] - 1
    last_column = keys.shape[2] - 1
    claim = LOW_32_BITS - (wp.uint32(d - image * draws.per_image) << FACE_BITS)
    faces = pool.faces[slot]
    end = wp.min((chunk + 1) * span, pool.face_count[slot])
    for f in range(chunk * span, end):
        face = faces[f]
        a = screen[d, face[0]]
        b = screen[d, face[1]]
        c = screen[d, face[2]]
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
            column = int(first_column)
            own = wp.uint64(claim - wp.uint32(f))
            while row <= end_row:
                wp.atomic_max(keys, image, row, column, claim_of(a, b, c, float(column), float(row), own))
                at_end = column == end_column
                column = wp.where(at_end, first_column, column + 1)
                row = wp.where(at_end, row + 1, row)


@wp.kernel
def mark_silhouettes(
    pool: PoolArrays,
    draws: Draws,
    screen: wp.array2d(dtype=wp.vec4f),
    bounds: wp.array(dtype=wp.vec4i),
    span: int,
    windows: wp.array3d(dtype=wp.uint8),
):
    """Draw objects' silhouettes into their windows, every ``stride_of(bounds)``-th pixel; ``windows`` starts as 0."""
    w, chunk = wp.tid()
    image = w // draws.with_silhouette
    d = image * draws.per_image + w - image * draws.with_silhouette
    slot = draws.slot[d]
    if slot < 0:
        return
    box = bounds[d]
    stride = stride_of(box)
    last_column = wp.min((-box[2] - box[0]) // stride, wp.static(WINDOW_PX - 1))
    last_row = wp.min((-box[3] - box[1]) // stride, wp.static(WINDOW_PX - 1))
    # Window coordinates of the screen, so that the loops are those of a picture again.
    scale = 1.0 / float(stride)
    first_u = float(box[0])
    first_v = float(box[1])
    faces = pool.faces[slot]
    end = wp.min((chunk + 1) * span, pool.face_count[slot])
    for f in range(chunk * span, end):
        face = faces[f]
        a = screen[d, face[0]]
        b = screen[d, face[1]]
        c = screen[d, face[2]]
        low_u = (lowest(a[0], b[0], c[0]) - first_u) * scale
        low_v = (lowest(a[1], b[1], c[1]) - first_v) * scale
        first_column = wp.max(int(wp.ceil(low_u)), 0)
        end_column = wp.min(int((highest(a[0], b[0], c[0]) - first_u) * scale), last_column)
        row = wp.max(int(wp.ceil(low_v)), 0)
        end_row = wp.min(int((highest(a[1], b[1], c[1]) - first_v) * scale), last_row)
        if first_column <= end_column and row <= end_row and a[2] * b[2] * c[2] > 0.0:
            column = int(first_column)
            while row <= end_row:
                u = first_u + float(column * stride)
                v = first_v + float(row * stride)
                if claim_of(a, b, c, u, v, wp.uint64(1)) != wp.uint64(0):
                    windows[w, row, column] = wp.uint8(1)
                at_end = column == end_column
                column = wp.where(at_end, first_column, column + 1)
                row = wp.where(at_end, row + 1, row)


@wp.func
def place_of(key: wp.uint64) -> int:
    """Place of the draw within its picture."""
    return int((LOW_32_BITS - wp.uint32(key)) >> FACE_BITS)


@wp.func
def face_of(key: wp.uint64) -> int:
    """Triangle of its mesh."""
    return int((LOW_32_BITS - wp.uint32(key)) & FACE_MASK)


@wp.func
def inverse_depth_of(key: wp.uint64) -> float:
    """1/z [1/m]."""
    return wp.cast(wp.uint32(key >> wp.uint64(32)), wp.float32)


@wp.kernel
def window_strides(bounds: wp.array(dtype=wp.vec4i), strides: wp.array(dtype=wp.int32)):
    """`stride_of` every draw."""
    d = wp.tid()
    strides[d] = stride_of(bounds[d])
